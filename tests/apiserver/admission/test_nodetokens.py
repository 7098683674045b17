"""Tokens that kubelets ask for: of pods on their nodes, for audiences that somebody named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from steersman.apiserver.admission.noderestriction import NodeRestriction
from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.api import Attributes, Decision
from steersman.meta.objects import Object
from steersman.meta.resources import CSIDRIVERS, PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, PODS, SERVICEACCOUNTS
from tests.apiserver.admission.asking import asked, refusal
from tests.apiserver.readers import ListedObjects, named

KUBELET = User(name="system:node:one", groups=("system:nodes",))
PREFIX = 'serviceaccounts "till" is forbidden: '
UNKNOWN = (
    f'{PREFIX}audience "vault" not found in pod spec volume, system:node:one is not authorized to request tokens for this '
    "audience"
)


@dataclass(slots=True, kw_only=True)
class Granting:
    """Grants kubelets tokens for some audiences."""

    audiences: tuple[str, ...] = ()
    asked: list[Attributes] = field(default_factory=list)

    async def authorize(self, attributes: Attributes) -> Decision:
        self.asked.append(attributes)
        is_granted = attributes.verb == "request-serviceaccounts-token-audience"
        return Decision(allowed=is_granted and attributes.resource in self.audiences)


def pod(*volumes: dict[str, Any], node: str = "one") -> Object:
    found: Object = named("p", "shop", spec={"nodeName": node, "volumes": list(volumes)})
    found["metadata"]["uid"] = "u"
    return found


def claim(name: str = "c", volume: str = "pv") -> tuple[Any, Object]:
    return PERSISTENTVOLUMECLAIMS, named(name, "shop", spec={"volumeName": volume})


def volume(**source: Any) -> tuple[Any, Object]:
    return PERSISTENTVOLUMES, named("pv", spec=source)


def driver(*audiences: str, name: str = "csi.example.com") -> tuple[Any, Object]:
    return CSIDRIVERS, named(name, spec={"tokenRequests": [{"audience": audience} for audience in audiences]})


PROJECTED = {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "audience": "vault"}}]}}
DEFAULT = {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}
CLAIMED = {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}
EPHEMERAL = {"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}
INLINE = {"name": "v", "csi": {"driver": "csi.example.com"}}


async def answer(
    *rows: tuple[Any, Object],
    audiences: tuple[str, ...] = ("vault",),
    granted: tuple[str, ...] = (),
    user: User = KUBELET,
    reference: Mapping[str, Any] | None = None,
) -> str:
    bound = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", **(reference or {})}
    spec = {"audiences": list(audiences), "boundObjectRef": bound}
    request = asked(SERVICEACCOUNTS, named("till", "shop", spec=spec), subresource="token")
    request.user = user
    return await refusal(NodeRestriction(ListedObjects(rows), Granting(audiences=granted)), request)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([(PODS, pod(PROJECTED))], id="projected"),
        pytest.param([(PODS, pod(INLINE)), driver("other", "vault")], id="inline volume"),
        pytest.param(
            [(PODS, pod(CLAIMED)), claim(), volume(csi={"driver": "csi.example.com"}), driver("vault")], id="claim"
        ),
        pytest.param(
            [(PODS, pod(EPHEMERAL)), claim("p-v"), volume(csi={"driver": "csi.example.com"}), driver("vault")],
            id="ephemeral",
        ),
        pytest.param(
            [
                (PODS, pod(CLAIMED)),
                claim(),
                volume(awsElasticBlockStore={"volumeID": "x"}),
                driver("vault", name="ebs.csi.aws.com"),
            ],
            id="migrated volume",
        ),
        pytest.param(
            [
                (PODS, pod({"name": "v", "azureFile": {"secretName": "s", "shareName": "x"}})),
                driver("vault", name="file.csi.azure.com"),
            ],
            id="migrated inline volume",
        ),
        pytest.param([(PODS, pod(CLAIMED, PROJECTED))], id="another volume cannot be told"),
    ],
)
async def test_audiences_of_the_pods_volumes_are_given(rows: list[tuple[Any, Object]]) -> None:
    assert await answer(*rows) == ""


async def test_without_an_audience_a_volume_has_to_want_none() -> None:
    assert await answer((PODS, pod(DEFAULT)), audiences=()) == ""
    assert 'audience "" not found in pod spec volume' in await answer((PODS, pod(PROJECTED)), audiences=())


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([(PODS, pod(DEFAULT))], UNKNOWN),
        ([(PODS, pod(INLINE)), driver("other")], UNKNOWN),
        ([(PODS, pod(CLAIMED)), claim(), volume(hostPath={"path": "/x"})], UNKNOWN),
        (
            [(PODS, pod(CLAIMED, INLINE))],
            f'{PREFIX}error validating audience "vault": [persistentvolumeclaim "c" not found, csidriver.storage.k8s.io '
            '"csi.example.com" not found]',
        ),
        (
            [(PODS, pod(CLAIMED)), claim()],
            f'{PREFIX}error validating audience "vault": persistentvolume "pv" not found',
        ),
    ],
)
async def test_other_audiences_are_not(rows: list[tuple[Any, Object]], why: str) -> None:
    assert await answer(*rows) == why


async def test_an_audience_may_be_granted_for_an_account() -> None:
    assert await answer((PODS, pod()), granted=("vault",)) == ""
    granting = Granting(audiences=("vault",))
    request = asked(
        SERVICEACCOUNTS,
        named(
            "till",
            "shop",
            spec={
                "audiences": ["vault"],
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"},
            },
        ),
        subresource="token",
    )
    request.user = KUBELET
    assert await refusal(NodeRestriction(ListedObjects([(PODS, pod())]), granting), request) == ""
    (question,) = granting.asked
    assert (question.user, question.namespace, question.group, question.name) == (KUBELET, "shop", "", "till")


async def test_one_audience_at_a_time() -> None:
    text = f"{PREFIX}node may only request 0 or 1 audiences"
    assert await answer((PODS, pod(PROJECTED)), audiences=("vault", "other")) == text


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ({"kind": "Secret"}, "node requested token not bound to a pod"),
        ({"name": ""}, "node requested token not bound to a pod"),
        ({"uid": ""}, "node requested token with a pod binding without a uid"),
        (
            {"uid": "other"},
            "the UID in the bound object reference (other) does not match the UID in record. The object might have been "
            "deleted and then recreated",
        ),
    ],
)
async def test_tokens_are_bound_to_pods_that_exist(reference: Mapping[str, Any], why: str) -> None:
    assert await answer((PODS, pod(PROJECTED)), reference=reference) == PREFIX + why


async def test_tokens_are_of_pods_on_the_node() -> None:
    text = f"{PREFIX}node requested token bound to a pod scheduled on a different node"
    assert await answer((PODS, pod(PROJECTED, node="two"))) == text
    assert await answer() == 'pod "p" not found'


async def test_who_is_no_node_may_ask_for_any() -> None:
    assert await answer((PODS, pod()), user=User(name="joe")) == ""
