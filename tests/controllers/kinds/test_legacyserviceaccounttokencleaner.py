"""Auto-generated tokens that nobody uses: first invalid, then gone."""

from __future__ import annotations

import pytest

from steersman.controllers.kinds.legacyserviceaccounttokencleaner import (
    INVALID_SINCE,
    LAST_USED,
    TOKEN_TYPE,
    TRACKING,
    Plan,
    plan,
    secrets_of,
)
from steersman.meta import objects, times
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, NAMESPACES, SECRETS, SERVICEACCOUNTS
from tests.controllers.builders import pod
from tests.controllers.conftest import StartWorld

NAME = "legacy-serviceaccount-token-cleaner-controller"
DAY_S = 24 * 3600.0
NOW_S = times.parse_time("2026-06-30T12:00:00Z")


def token(name: str = "builder-token-x", **labels: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": TOKEN_TYPE,
        "metadata": {
            "name": name,
            "namespace": "default",
            "labels": labels,
            "creationTimestamp": "2020-01-01T00:00:00Z",
            "annotations": {"kubernetes.io/service-account.name": "builder"},
        },
    }


ACCOUNT: Object = {"metadata": {"name": "builder"}, "secrets": [{"name": "builder-token-x"}]}


def made(secret: Object, *, account: Object | None = ACCOUNT, mounted: frozenset[str] = frozenset()) -> Plan:
    return plan([secret], lambda _: account, lambda _: mounted, NOW_S, 30 * DAY_S)


@pytest.mark.parametrize(
    ("found", "marked", "deleted"),
    [
        (made(token()), True, False),
        (made(token(**{LAST_USED: "2026-06-29"})), False, False),
        (made(token(**{LAST_USED: "2026-05-30"})), True, False),
        (made(token(**{LAST_USED: "yesterday"})), False, False),
        (made(token(**{INVALID_SINCE: "2026-06-29"})), False, False),
        (made(token(**{INVALID_SINCE: "2026-05-30"})), False, True),
        (made(token(**{INVALID_SINCE: "?"})), True, False),
        (made(token("by-hand")), False, False),
        (made(token(), account=None), False, False),
        (made(token(), mounted=frozenset({"builder-token-x"})), False, False),
    ],
)
def test_which_tokens_are_marked_and_which_go(found: Plan, marked: bool, deleted: bool) -> None:
    assert (bool(found.mark), bool(found.delete)) == (marked, deleted)


def test_every_way_in_which_a_pod_names_a_secret_counts() -> None:
    user = pod(
        spec={
            "imagePullSecrets": [{"name": "a"}],
            "containers": [
                {
                    "name": "c",
                    "envFrom": [{"secretRef": {"name": "b"}}],
                    "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "c", "key": "k"}}}],
                }
            ],
            "volumes": [
                {"name": "1", "secret": {"secretName": "d"}},
                {"name": "2", "projected": {"sources": [{"secret": {"name": "e"}}]}},
                {"name": "3", "csi": {"driver": "x", "nodePublishSecretRef": {"name": "f"}}},
            ],
        }
    )
    assert sorted(secrets_of(user)) == ["a", "b", "c", "d", "e", "f"]


async def test_an_unused_token_is_marked_and_removed_a_period_later(world_of: StartWorld) -> None:
    world = await world_of(NAME, legacy_service_account_token_clean_up_period_s=3600.0)
    if not await world.exists(NAMESPACES, "kube-system"):
        await world.create(
            NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system"}}
        )  # fmt: skip
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "builder", "namespace": "default"}}
    listed = [{"name": "unused"}, {"name": "invalid"}]
    await world.create(SERVICEACCOUNTS, {**account, "secrets": listed})
    await world.create(SECRETS, token("unused"))
    await world.create(SECRETS, token("invalid", **{INVALID_SINCE: "2020-01-01"}))
    await world.create(SECRETS, token("by-hand"))
    await world.advance(2 * 3600)
    await world.restart()
    await world.settle()
    assert INVALID_SINCE not in objects.labels(await world.get(SECRETS, "unused"))
    await world.client.patch(CONFIGMAPS, TRACKING, {"data": {"since": "2020-01-01"}}, namespace="kube-system")
    await world.restart()
    await world.settle()
    assert INVALID_SINCE in objects.labels(await world.get(SECRETS, "unused"))
    assert not await world.exists(SECRETS, "invalid")
    assert INVALID_SINCE not in objects.labels(await world.get(SECRETS, "by-hand"))
