"""Authorizers see what a request is restricted to by its selectors, as far as those can be understood."""

from __future__ import annotations

import random
from typing import Any

import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.api import ALLOWED, Attributes, Decision
from steersman.apiserver.authz.selectors import reviewed
from steersman.apiserver.call import Call
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.apiserver.filters.authorization import attributes_of
from steersman.apiserver.requestinfo import request_info
from steersman.apiserver.reviews.access import review_access
from steersman.client.api import Client
from steersman.client.inprocess import InProcessTransport
from steersman.meta import objects
from steersman.meta.errors import Forbidden
from steersman.meta.resources import PODS as POD
from steersman.meta.wire import Request
from steersman.store.drivers.memory import MemoryStore
from tests.apiserver.builders import pod

PODS = "/api/v1/namespaces/shop/pods"


def asked(method: str, path: str, **query: str) -> Attributes:
    request = Request(method=method, path=path, query={name: [value] for name, value in query.items()})
    return attributes_of(Call(request=request, info=request_info(request), received_s=0.0, user=User(name="jane")))


@pytest.mark.parametrize(
    ("method", "path", "more"),
    [("GET", PODS, {}), ("GET", PODS, {"watch": "1"}), ("DELETE", PODS, {}), ("GET", "/api/v1/pods", {"limit": "5"})],
)
def test_requests_for_many_objects_have_selectors(method: str, path: str, more: dict[str, str]) -> None:
    attributes = asked(method, path, fieldSelector="spec.nodeName=n1,a!=b", labelSelector="app in (x,y),!z", **more)
    assert attributes.field_selector.terms == (("a", False, "b"), ("spec.nodeName", True, "n1"))
    assert [str(requirement) for requirement in attributes.label_selector.requirements] == ["app in (x,y)", "!z"]
    assert not attributes.field_selector_error
    assert not attributes.label_selector_error


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", f"{PODS}/web"), ("POST", PODS), ("GET", "/api/v1/watch/namespaces/shop/pods"), ("GET", "/version")],
)
def test_other_requests_have_none(method: str, path: str) -> None:
    attributes = asked(method, path, fieldSelector="spec.nodeName=n1", labelSelector="app=x")
    assert attributes.field_selector.is_everything
    assert attributes.label_selector.is_everything


def test_what_cannot_be_parsed_is_left_out() -> None:
    attributes = asked("GET", PODS, fieldSelector="spec.nodeName", labelSelector="app=x=y")
    assert attributes.field_selector.is_everything
    assert attributes.label_selector.is_everything
    assert "spec.nodeName" in attributes.field_selector_error
    assert attributes.label_selector_error


FIELD_IGNORED = "spec.resourceAttributes.fieldSelector ignored due to parse error"
LABEL_PARTIALLY = "spec.resourceAttributes.labelSelector partially ignored due to parse error"


@pytest.mark.parametrize(
    ("attributes", "fields", "labels", "errors"),
    [
        ({}, "", "", []),
        ({"fieldSelector": {"rawSelector": "a=b"}, "labelSelector": {"rawSelector": "c"}}, "a=b", "c", []),
        (
            {"fieldSelector": {"requirements": [{"key": "a", "operator": "In", "values": ["b"]}]}},
            "a=b", "", [],
        ),
        (
            {"fieldSelector": {"requirements": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}},
            "a!=b", "", [],
        ),
        ({"fieldSelector": {"requirements": [{"key": "a", "operator": "Exists"}]}}, "", "", [FIELD_IGNORED]),
        ({"fieldSelector": {"requirements": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}}, "", "", [FIELD_IGNORED]),
        ({"fieldSelector": {"rawSelector": "nonsense"}}, "", "", [FIELD_IGNORED]),
        (
            {"labelSelector": {"requirements": [{"key": "a", "operator": "Newer"}, {"key": "b", "operator": "Exists"}]}},
            "", "b", [LABEL_PARTIALLY],
        ),
        ({"labelSelector": {"requirements": [{"key": "a", "operator": "In", "values": ["x", "y"]}]}}, "", "a in (x,y)", []),
    ],
)  # fmt: skip
def test_selectors_of_access_reviews(attributes: dict[str, Any], fields: str, labels: str, errors: list[str]) -> None:
    found = reviewed(attributes)
    assert (str(found.field_selector), str(found.label_selector)) == (fields, labels)
    assert found.evaluation_errors() == errors


class Restricted:
    """Allows who asks for no more than the pods of n1."""

    async def authorize(self, attributes: Attributes) -> Decision:
        return ALLOWED if attributes.field_selector.requires("spec.nodeName", "n1") else Decision(allowed=False)


@pytest.mark.parametrize(
    ("selector", "status"),
    [
        ({"rawSelector": "spec.nodeName=n1"}, {"allowed": True}),
        ({"rawSelector": "spec.nodeName!=n1"}, {"allowed": False}),
        ({"rawSelector": "spec.nodeName"}, {"allowed": False, "evaluationError": FIELD_IGNORED}),
    ],
)
async def test_a_review_asks_with_the_selectors(selector: dict[str, Any], status: dict[str, Any]) -> None:
    attributes = {"verb": "list", "resource": "pods", "fieldSelector": selector}
    review = {"spec": {"user": "jane", "resourceAttributes": attributes}}
    assert (await review_access(review, Restricted()))["status"] == status


async def test_a_kubelet_lists_its_own_pods_and_no_others(clock: FakeClock) -> None:
    config = APIServerConfig(disabled_admission_plugins=("ServiceAccount",), authorization_modes=("Node", "RBAC"))
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=config, rng=random.Random(7))
    await server.start()
    admin = Client(InProcessTransport(server.handle, user="root", groups=("system:masters",)))
    for node in ("n1", "n2"):
        await admin.create(POD, pod(f"on-{node}", node=node))
    kubelet = Client(InProcessTransport(server.handle, user="system:node:n1", groups=("system:nodes",)))
    listed = await kubelet.list(POD, field_selector="spec.nodeName=n1")
    assert [objects.name(found) for found in listed.items] == ["on-n1"]
    refusal = "can only list/watch pods with spec.nodeName field selector"
    for selector in ("", "spec.nodeName!=n2", "spec.nodeName=n2"):
        with pytest.raises(Forbidden, match=refusal):
            await kubelet.list(POD, field_selector=selector)
    assert objects.name(await kubelet.get(POD, "on-n1", namespace="default")) == "on-n1"
    with pytest.raises(Forbidden, match="no relationship found between node 'n1' and this object"):
        await kubelet.get(POD, "on-n2", namespace="default")
    await server.close()
