"""RBAC decides as the roles bound to a user and its groups say."""

from __future__ import annotations

import pytest

from steersman.apiserver.authn.api import User
from steersman.apiserver.authz.api import Attributes
from steersman.apiserver.authz.rbac import RBACAuthorizer
from steersman.apiserver.authz.rules import Rule, describe, uncovered
from steersman.apiserver.bootstrap.policy import bootstrap_objects, parse_rules
from steersman.meta.resources import CLUSTERROLEBINDINGS, CLUSTERROLES, ROLEBINDINGS, ROLES
from tests.apiserver.readers import ListedObjects, named


def user(name: str, *groups: str) -> User:
    return User(name=name, groups=(*groups, "system:authenticated"))


def asks(who: User, verb: str, resource: str, *, group: str = "", namespace: str = "", name: str = "") -> Attributes:
    resource, _, subresource = resource.partition("/")
    return Attributes(
        user=who, verb=verb, group=group, resource=resource, subresource=subresource, namespace=namespace, name=name
    )


def bound(role: str, kind: str, subject: dict[str, str], namespace: str = "") -> dict[str, object]:
    return named("binding", namespace, roleRef={"kind": kind, "name": role}, subjects=[subject])


JANE = user("jane")
KUBELET = user("system:node:n1", "system:nodes")
SCHEDULER = user("system:kube-scheduler")
ACCOUNT = user("system:serviceaccount:kube-system:job-controller")


@pytest.mark.parametrize(
    ("attributes", "allowed"),
    [
        (asks(user("root", "system:masters"), "delete", "nodes", name="n1"), True),
        (asks(JANE, "list", "pods", namespace="default"), False),
        (asks(JANE, "create", "selfsubjectaccessreviews", group="authorization.k8s.io"), True),
        (Attributes(user=JANE, verb="get", path="/version", is_resource=False), True),
        (Attributes(user=JANE, verb="get", path="/apis/apps/v1", is_resource=False), True),
        (Attributes(user=JANE, verb="get", path="/metrics", is_resource=False), False),
        (Attributes(user=User(name="system:anonymous", groups=("system:unauthenticated",)),
                    verb="get", path="/healthz", is_resource=False), True),
        (asks(SCHEDULER, "create", "pods/binding", namespace="default", name="a"), True),
        (asks(SCHEDULER, "create", "pods", namespace="default"), False),
        (asks(SCHEDULER, "update", "leases", group="coordination.k8s.io", namespace="kube-system", name="kube-scheduler"),
         True),
        (asks(SCHEDULER, "update", "leases", group="coordination.k8s.io", namespace="default", name="other"), False),
        (asks(ACCOUNT, "update", "jobs/status", group="batch", namespace="x", name="j"), True),
        (asks(KUBELET, "list", "secrets", namespace="default"), False),
    ],
)  # fmt: skip
async def test_the_bootstrap_policy_gives_each_component_its_own(attributes: Attributes, allowed: bool) -> None:
    authorizer = RBACAuthorizer(ListedObjects(bootstrap_objects()))
    assert (await authorizer.authorize(attributes)).allowed is allowed


async def test_a_role_binding_grants_in_its_namespace_only() -> None:
    reader = ListedObjects(
        [
            (ROLES, named("reader", "team", rules=parse_rules("READ core pods"))),
            (ROLEBINDINGS, bound("reader", "Role", {"kind": "User", "name": "jane"}, "team")),
        ]
    )
    authorizer = RBACAuthorizer(reader)
    inside = await authorizer.authorize(asks(JANE, "get", "pods", namespace="team", name="a"))
    assert inside.allowed
    assert inside.reason == 'RBAC: allowed by RoleBinding "team/binding" of Role "reader" to User "jane"'
    assert not (await authorizer.authorize(asks(JANE, "get", "pods", namespace="other", name="a"))).allowed
    assert not (await authorizer.authorize(asks(JANE, "list", "pods"))).allowed


async def test_a_changed_binding_counts_at_once() -> None:
    reader = ListedObjects([(CLUSTERROLES, named("reader", rules=parse_rules("READ core pods")))])
    authorizer = RBACAuthorizer(reader)
    question = asks(JANE, "list", "pods")
    assert not (await authorizer.authorize(question)).allowed
    reader.put(CLUSTERROLEBINDINGS, bound("reader", "ClusterRole", {"kind": "User", "name": "jane"}))
    assert (await authorizer.authorize(question)).allowed
    reader.remove(CLUSTERROLEBINDINGS, "binding")
    assert not (await authorizer.authorize(question)).allowed


async def test_a_missing_role_is_named_in_the_refusal() -> None:
    reader = ListedObjects([(CLUSTERROLEBINDINGS, bound("gone", "ClusterRole", {"kind": "User", "name": "jane"}))])
    decision = await RBACAuthorizer(reader).authorize(asks(JANE, "list", "pods"))
    assert decision.reason == 'RBAC: clusterrole.rbac.authorization.k8s.io "gone" not found'


@pytest.mark.parametrize(
    ("owned", "wanted", "missing"),
    [
        ("* * *", "get core pods", ""),
        ("READ core pods", "get core pods", ""),
        ("get core pods", "READ core pods", "list,watch core pods"),
        ("get core *", "get core pods/log", ""),
        ("get core */log", "get core pods/log", ""),
        ("get core pods a", "get core pods", "get core pods"),
        ("get core pods", "get core pods a", ""),
        ("get /api/*", "get /api/v1", ""),
        ("get /api/v1", "get /api/*", "get /api/*"),
    ],
)
def test_rules_cover_each_other(owned: str, wanted: str, missing: str) -> None:
    def rules(text: str) -> list[Rule]:
        return [Rule.of(rule) for rule in parse_rules(text)]

    left = uncovered(rules(owned), rules(wanted))
    assert left == [part for rule in rules(missing) for part in rule.split()]


def test_missing_rules_read_as_upstream_prints_them() -> None:
    rules = [Rule.of(rule) for rule in parse_rules("get core pods")]
    assert describe(rules) == '{APIGroups:[""], Resources:["pods"], Verbs:["get"]}'
