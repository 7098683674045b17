"""Constrained impersonation: which grants let whom act as whom, and what for."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from steersman.aio.clock import FakeClock
from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.api import NO_OPINION, Attributes, Decision
from steersman.apiserver.impersonation.modes import Impersonated, Impersonation
from steersman.apiserver.metrics.impersonation import ImpersonationMetrics
from steersman.meta.errors import Forbidden

JOE = User(name="joe", groups=("system:authenticated",))
ANNA = User(name="anna")
NODE = User(name="system:node:one")
ACCOUNT = User(name="system:serviceaccount:shop:till")
AGENT = User(
    name="system:serviceaccount:kube-system:agent",
    groups=("system:serviceaccounts",),
    extra={
        "authentication.kubernetes.io/node-name": ("one",),
        "authentication.kubernetes.io/pod-name": ("agent-x",),
    },
)

USER_INFO = {"impersonate:user-info users.authentication.k8s.io anna", "impersonate-on:user-info:get pods a"}
ANY_NODE = {"impersonate:arbitrary-node nodes.authentication.k8s.io one", "impersonate-on:arbitrary-node:get pods a"}
OWN_NODE = {"impersonate:associated-node nodes.authentication.k8s.io *", "impersonate-on:associated-node:get pods a"}
ONE_ACCOUNT = {
    "impersonate:serviceaccount serviceaccounts.authentication.k8s.io shop/till",
    "impersonate-on:serviceaccount:get pods a",
}


class Grants:
    """Allows what it was told, and writes down what it was asked."""

    def __init__(self, granted: set[str]) -> None:
        self.granted = granted
        self.asked: list[str] = []
        self.requestors: list[User] = []

    async def authorize(self, attributes: Attributes) -> Decision:
        resource = attributes.resource + (f"/{attributes.subresource}" if attributes.subresource else "")
        resource += f".{attributes.group}" if attributes.group else ""
        name = f"{attributes.namespace}/{attributes.name}" if attributes.namespace else attributes.name
        text = f"{attributes.verb} {resource} {name}"
        self.asked.append(text)
        self.requestors.append(attributes.user)
        return Decision(allowed=True) if text in self.granted else NO_OPINION


class Impersonating:
    def __init__(self, granted: set[str]) -> None:
        self.grants = Grants(granted)
        self.clock = FakeClock()
        self.registry = CollectorRegistry()
        self._impersonation = Impersonation(self.grants, clock=self.clock, metrics=ImpersonationMetrics(self.registry))

    async def get_pod(self, wanted: User, *, requestor: User = JOE, name: str = "a") -> Impersonated:
        request = Attributes(user=requestor, verb="get", version="v1", resource="pods", name=name)
        self.grants.asked.clear()
        self.grants.requestors.clear()
        return await self._impersonation.impersonate(wanted, request)

    async def refusal(self, wanted: User, *, requestor: User = JOE) -> str:
        with pytest.raises(Forbidden) as caught:
            await self.get_pod(wanted, requestor=requestor)
        return caught.value.message


@pytest.mark.parametrize(
    ("wanted", "requestor", "granted", "constraint", "groups"),
    [
        pytest.param(ANNA, JOE, USER_INFO, "impersonate:user-info", ("system:authenticated",), id="a user"),
        pytest.param(
            ACCOUNT,
            JOE,
            ONE_ACCOUNT,
            "impersonate:serviceaccount",
            ("system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"),
            id="a service account",
        ),
        pytest.param(
            NODE, JOE, ANY_NODE, "impersonate:arbitrary-node", ("system:nodes", "system:authenticated"), id="a node"
        ),
        pytest.param(
            NODE,
            AGENT,
            OWN_NODE,
            "impersonate:associated-node",
            ("system:nodes", "system:authenticated"),
            id="own node",
        ),
        pytest.param(ANNA, JOE, {"impersonate users anna"}, "", ("system:authenticated",), id="legacy"),
        pytest.param(NODE, JOE, {"impersonate users system:node:one"}, "", ("system:authenticated",), id="legacy node"),
        pytest.param(
            User(name="system:node:No"),
            JOE,
            {"impersonate:user-info users.authentication.k8s.io system:node:No", "impersonate-on:user-info:get pods a"},
            "impersonate:user-info",
            ("system:authenticated",),
            id="no name of a node",
        ),
    ],
)
async def test_each_sort_of_users_has_its_mode(
    wanted: User, requestor: User, granted: set[str], constraint: str, groups: tuple[str, ...]
) -> None:
    found = await Impersonating(granted).get_pod(wanted, requestor=requestor)
    assert found.constraint == constraint
    assert (found.user.name, found.user.groups) == (wanted.name, groups)


@pytest.mark.parametrize("missing", sorted(USER_INFO))
async def test_both_grants_are_needed(missing: str) -> None:
    impersonating = Impersonating(USER_INFO - {missing})
    with pytest.raises(Forbidden):
        await impersonating.get_pod(ANNA)


async def test_what_is_not_granted_on_one_object_is_not_done() -> None:
    impersonating = Impersonating(USER_INFO)
    await impersonating.get_pod(ANNA)
    with pytest.raises(Forbidden):
        await impersonating.get_pod(ANNA, name="b")


async def test_a_refusal_is_that_of_the_first_mode_asked() -> None:
    impersonating = Impersonating({"impersonate users eve"})
    text = 'pods "a" is forbidden: User "joe" cannot {} resource "pods" in API group "" at the cluster scope'
    assert await impersonating.refusal(ANNA) == text.format("impersonate-on:user-info:get")
    assert await impersonating.refusal(NODE) == text.format("impersonate-on:arbitrary-node:get")
    assert await impersonating.refusal(NODE, requestor=AGENT) == text.format(
        "impersonate-on:associated-node:get"
    ).replace("joe", AGENT.name)
    await impersonating.get_pod(User(name="eve"))
    legacy = (
        'users "anna" is forbidden: User "joe" cannot impersonate resource "users" in API group "" at the cluster scope'
    )
    assert await impersonating.refusal(ANNA) == legacy


async def test_the_mode_that_allowed_a_user_something_is_asked_first() -> None:
    impersonating = Impersonating({"impersonate users anna"})
    await impersonating.get_pod(ANNA)
    assert impersonating.grants.asked == ["impersonate-on:user-info:get pods a", "impersonate users anna"]
    await impersonating.get_pod(ANNA)
    assert impersonating.grants.asked == ["impersonate users anna"]


async def test_what_was_allowed_is_remembered_for_ten_seconds() -> None:
    impersonating = Impersonating(USER_INFO | {"impersonate-on:user-info:get pods b"})
    await impersonating.get_pod(ANNA)
    await impersonating.get_pod(ANNA)
    assert impersonating.grants.asked == []
    await impersonating.get_pod(ANNA, name="b")
    assert impersonating.grants.asked == ["impersonate-on:user-info:get pods b"]
    await impersonating.clock.advance(10)
    await impersonating.get_pod(ANNA)
    assert set(impersonating.grants.asked) == USER_INFO


async def test_legacy_impersonation_is_asked_every_time() -> None:
    impersonating = Impersonating({"impersonate users anna"})
    await impersonating.get_pod(ANNA)
    impersonating.grants.granted.clear()
    with pytest.raises(Forbidden):
        await impersonating.get_pod(ANNA)


async def test_an_agent_on_every_node_is_one_requestor() -> None:
    """What is allowed to its service account on one node holds on the others, each for its own."""
    impersonating = Impersonating(set(OWN_NODE))
    await impersonating.get_pod(NODE, requestor=AGENT)
    keys = ("authentication.kubernetes.io/node-name", "authentication.kubernetes.io/pod-name")
    assert {tuple(user.extra.items()) for user in impersonating.grants.requestors} == {
        (("authentication.kubernetes.io/associated-node-keys", keys),)
    }
    extra = {
        "authentication.kubernetes.io/node-name": ("two",),
        "authentication.kubernetes.io/pod-name": ("agent-y",),
    }
    elsewhere = User(name=AGENT.name, groups=AGENT.groups, extra=extra)
    found = await impersonating.get_pod(User(name="system:node:two"), requestor=elsewhere)
    assert found.user.name == "system:node:two"
    assert impersonating.grants.asked == []
    with pytest.raises(Forbidden):
        await impersonating.get_pod(NODE, requestor=elsewhere)


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (User(name="anna", groups=("",)), "impersonating the empty string group is not allowed"),
        (User(name="anna", groups=("system:masters",)), "impersonating the system:masters group is not allowed"),
        (User(name="anna", extra={"": ("x",)}), "impersonating the empty string key in extra is not allowed"),
        (
            User(name="anna", extra={"plain": ("x",)}),
            'impersonating an invalid key in extra is not allowed: extra.key: Invalid value: "plain": must be a '
            'domain-prefixed path (such as "acme.io/foo")',
        ),
        (
            User(name="anna", extra={"example.com/K": ("x",)}),
            'impersonating a non-lowercase key in extra is not allowed: "example.com/K"',
        ),
        (
            User(name="anna", extra={"example.com/k": ("",)}),
            "impersonating the empty string value in extra is not allowed",
        ),
    ],
)
async def test_some_are_for_legacy_impersonation_only(wanted: User, why: str) -> None:
    impersonating = Impersonating(set(USER_INFO))
    assert (await impersonating.refusal(wanted)).endswith(f"at the cluster scope: {why}")
    legacy = {"impersonate users anna", *(f"impersonate groups {group}" for group in wanted.groups)}
    legacy |= {
        f"impersonate userextras/{key}.authentication.k8s.io {value}".replace("/.", ".")
        for key, values in wanted.extra.items()
        for value in values
    }
    assert (await Impersonating(legacy).get_pod(wanted)).constraint == ""


async def test_all_that_is_wanted_has_to_be_granted() -> None:
    wanted = User(name="anna", uid="7", groups=("readers",), extra={"example.com/scope": ("view",)})
    needed = USER_INFO | {
        "impersonate:user-info uids.authentication.k8s.io 7",
        "impersonate:user-info groups.authentication.k8s.io readers",
        "impersonate:user-info userextras/example.com/scope.authentication.k8s.io view",
    }
    found = await Impersonating(needed).get_pod(wanted)
    assert found.user.groups == ("readers", "system:authenticated")
    for grant in needed:
        with pytest.raises(Forbidden):
            await Impersonating(needed - {grant}).get_pod(wanted)


async def test_many_groups_or_extras_may_be_granted_together() -> None:
    wanted = User(name="anna", groups=("a", "b", "c", "d"), extra={"example.com/scope": ("1", "2", "3", "4")})
    impersonating = Impersonating(
        USER_INFO
        | {
            "impersonate:user-info groups.authentication.k8s.io *",
            "impersonate:user-info userextras/*.authentication.k8s.io *",
        }
    )
    await impersonating.get_pod(wanted)
    assert len(impersonating.grants.asked) == 4


async def test_attempts_and_questions_are_counted() -> None:
    impersonating = Impersonating({"impersonate users anna"})
    await impersonating.get_pod(ANNA)
    await impersonating.refusal(User(name="eve"))
    text = generate_latest(impersonating.registry).decode()
    for line in (
        'apiserver_impersonation_attempts_total{decision="allowed",mode="legacy"} 1.0',
        'apiserver_impersonation_attempts_total{decision="denied",mode=""} 1.0',
        'apiserver_impersonation_authorization_attempts_total{decision="denied",mode="user-info"} 2.0',
        'apiserver_impersonation_attempts_duration_seconds_count{decision="allowed",mode="legacy"} 1.0',
    ):
        assert line in text
