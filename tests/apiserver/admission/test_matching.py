"""Which requests a webhook or policy is about."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.apiserver.admission.api import AdmissionRequest
from steersman.apiserver.admission.equivalents import ServedVersions
from steersman.apiserver.admission.matching import GroupVersionKind, Matcher, Target, is_exempt, kind_of, versioned
from steersman.apiserver.api import ServedKinds
from steersman.apiserver.authn.api import User
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import (
    DEPLOYMENTS,
    HORIZONTALPODAUTOSCALERS,
    HORIZONTALPODAUTOSCALERS_V1,
    NAMESPACES,
    NODES,
    PODS,
    VALIDATINGWEBHOOKCONFIGURATIONS,
    Resource,
)
from steersman.schema.groups import REGISTRY
from steersman.schema.kind import Kind
from steersman.schema.registry import Registry
from tests.apiserver.readers import ListedObjects, named

VERSIONS = ServedVersions(ServedKinds(Registry(REGISTRY)))
READER = ListedObjects([(NAMESPACES, named("team")), (NAMESPACES, named("other"))])


def kind(resource: Resource) -> Kind:
    return next(kind for kind in REGISTRY if kind.resource == resource)


def request(resource: Resource, operation: Any = "CREATE", **fields: Any) -> AdmissionRequest:
    given: dict[str, Any] = {
        "namespace": "team" if resource.namespaced else "",
        "name": "a",
        "obj": {"metadata": {"name": "a"}},
        "old": None,
        "user": User(name="tester"),
    }
    return AdmissionRequest(operation=operation, kind=kind(resource), **given | fields)


def rule(**fields: Any) -> Object:
    return {"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], **fields}


def webhook(*rules: Object, **fields: Any) -> Matcher:
    selectors = {"namespaceSelector": {}, "objectSelector": {}, "matchPolicy": "Exact"}
    return Matcher.of_webhook({"rules": list(rules), **selectors, **fields})


def matches(matcher: Matcher, of: AdmissionRequest) -> bool:
    return matcher.match(of, VERSIONS, READER) is not None


RULES = [
    (rule(), "", True),
    (rule(operations=["UPDATE"]), "", False),
    (rule(operations=["UPDATE", "CREATE"]), "", True),
    (rule(apiGroups=[""]), "", True),
    (rule(apiGroups=["apps"]), "", False),
    (rule(apiVersions=["v1beta1"]), "", False),
    (rule(resources=["pods"]), "", True),
    (rule(resources=["pods"]), "exec", False),
    (rule(resources=["*"]), "exec", False),
    (rule(resources=["*/exec"]), "exec", True),
    (rule(resources=["pods/*"]), "exec", True),
    (rule(resources=["pods/*"]), "", True),
    (rule(resources=["*/*"]), "exec", True),
    (rule(resources=["services", "pods/exec"]), "exec", True),
]


@pytest.mark.parametrize(("given", "subresource", "expected"), RULES)
def test_a_rule_names_operations_groups_versions_and_resources(given: Object, subresource: str, expected: bool) -> None:
    assert matches(webhook(given), request(PODS, subresource=subresource)) is expected


def test_scope_tells_namespaced_requests_from_those_of_the_cluster() -> None:
    namespaced, cluster = webhook(rule(scope="Namespaced")), webhook(rule(scope="Cluster"))
    assert matches(namespaced, request(PODS))
    assert not matches(cluster, request(PODS))
    assert matches(cluster, request(NODES))
    assert not matches(namespaced, request(NODES))


def test_a_namespace_object_belongs_to_the_cluster_though_its_request_has_a_namespace() -> None:
    of_a_namespace = request(NAMESPACES, namespace="team")
    assert matches(webhook(rule(scope="Cluster")), of_a_namespace)
    assert not matches(webhook(rule(scope="Namespaced")), of_a_namespace)


def test_no_rules_match_nothing_in_a_webhook_and_everything_in_a_binding() -> None:
    assert not matches(webhook(), request(PODS))
    assert matches(Matcher.of_match_resources({"namespaceSelector": {}, "objectSelector": {}}), request(PODS))


def test_equivalent_versions_match_where_the_policy_says_so() -> None:
    of_v1 = rule(apiGroups=["autoscaling"], apiVersions=["v1"], resources=["horizontalpodautoscalers"])
    written = request(HORIZONTALPODAUTOSCALERS)
    assert not matches(webhook(of_v1), written)
    target = webhook(of_v1, matchPolicy="Equivalent").match(written, VERSIONS, READER)
    expected = GroupVersionKind("autoscaling", "v1", "HorizontalPodAutoscaler")
    assert target == Target(HORIZONTALPODAUTOSCALERS_V1, expected)


def test_the_version_of_the_request_comes_before_equivalent_ones() -> None:
    of_both = webhook(
        rule(apiGroups=["autoscaling"], apiVersions=["v1"]),
        rule(apiGroups=["autoscaling"], apiVersions=["v2"]),
        matchPolicy="Equivalent",
    )
    target = of_both.match(request(HORIZONTALPODAUTOSCALERS), VERSIONS, READER)
    assert target is not None and target.resource == HORIZONTALPODAUTOSCALERS


def test_events_of_both_groups_are_equivalent() -> None:
    events = next(kind for kind in REGISTRY if kind.resource.api_version == "events.k8s.io/v1")
    of_core = webhook(rule(apiGroups=[""], resources=["events"]), matchPolicy="Equivalent")
    target = of_core.match(request(events.resource), VERSIONS, READER)
    assert target is not None and target.resource.api_version == "v1"


async def test_objects_are_seen_in_the_version_that_the_rule_asks_for() -> None:
    spec = {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "a"}}
    spec["metrics"] = [
        {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 7}}}
    ]
    obj = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "a", "namespace": "team"},
        "spec": spec,
    }
    written = request(HORIZONTALPODAUTOSCALERS, obj=obj)
    of_v1 = webhook(rule(apiGroups=["autoscaling"], apiVersions=["v1"]), matchPolicy="Equivalent")
    target = of_v1.match(written, VERSIONS, READER)
    assert target is not None
    seen = await versioned(written, target, VERSIONS)
    assert seen.obj is not None and seen.obj["apiVersion"] == "autoscaling/v1"
    assert seen.obj["spec"]["targetCPUUtilizationPercentage"] == 7
    assert seen.old is None


def test_subresources_have_kinds_of_their_own() -> None:
    assert kind_of(kind(PODS), "exec") == GroupVersionKind("", "v1", "PodExecOptions")
    assert kind_of(kind(PODS), "eviction") == GroupVersionKind("policy", "v1", "Eviction")
    assert kind_of(kind(PODS), "status") == GroupVersionKind("", "v1", "Pod")
    assert kind_of(kind(DEPLOYMENTS), "scale") == GroupVersionKind("autoscaling", "v1", "Scale")


def test_labels_of_the_object_before_or_after_the_write_select_it() -> None:
    matcher = webhook(rule(), objectSelector={"matchLabels": {"a": "b"}})
    labelled: Object = {"metadata": {"name": "a", "labels": {"a": "b"}}}
    plain: Object = {"metadata": {"name": "a"}}
    assert matches(matcher, request(PODS, obj=labelled))
    assert matches(matcher, request(PODS, "UPDATE", obj=plain, old=labelled))
    assert matches(matcher, request(PODS, "DELETE", obj=None, old=labelled))
    assert not matches(matcher, request(PODS, "UPDATE", obj=plain, old=plain))
    assert not matches(matcher, request(PODS, "CONNECT", obj={"kind": "PodExecOptions"}, subresource="exec"))


def in_labelled_namespaces(**fields: Any) -> Matcher:
    return webhook(rule(), namespaceSelector={"matchLabels": {"a": "b"}}, **fields)


def test_labels_of_the_namespace_select_what_is_in_it() -> None:
    labelled: Object = {"metadata": {"name": "team", "labels": {"a": "b"}}}
    reader = ListedObjects([(NAMESPACES, labelled), (NAMESPACES, named("other"))])
    matcher = in_labelled_namespaces()
    assert matcher.match(request(PODS), VERSIONS, reader) is not None
    assert matcher.match(request(PODS, namespace="other"), VERSIONS, reader) is None


def test_a_namespace_that_is_written_is_selected_by_its_new_labels_and_a_deleted_one_by_its_own() -> None:
    labelled: Object = {"metadata": {"name": "team", "labels": {"a": "b"}}}
    matcher = in_labelled_namespaces()
    assert matches(matcher, request(NAMESPACES, namespace="team", obj=labelled))
    assert not matches(matcher, request(NAMESPACES, "DELETE", namespace="team", obj=None))


def test_namespace_selectors_do_not_keep_objects_of_the_cluster_out() -> None:
    assert matches(in_labelled_namespaces(), request(NODES))


def test_a_namespace_that_is_absent_is_not_found() -> None:
    with pytest.raises(NotFound, match='namespaces "nowhere" not found'):
        in_labelled_namespaces().match(request(PODS, namespace="nowhere"), VERSIONS, READER)


def test_an_absent_namespace_does_not_matter_where_the_object_is_not_selected() -> None:
    matcher = in_labelled_namespaces(objectSelector={"matchLabels": {"c": "d"}})
    assert matcher.match(request(PODS, namespace="nowhere"), VERSIONS, READER) is None


def test_excluded_rules_and_names_narrow_the_constraints_of_a_policy() -> None:
    matcher = Matcher.of_match_resources(
        {
            "matchPolicy": "Exact",
            "namespaceSelector": {},
            "objectSelector": {},
            "resourceRules": [rule(resourceNames=["a", "b"])],
            "excludeResourceRules": [rule(resourceNames=["b"])],
        }
    )
    assert matcher.looks_at_names
    assert [name for name in "abc" if matches(matcher, request(PODS, name=name))] == ["a"]


def test_the_configuration_of_admission_is_exempt() -> None:
    assert is_exempt(request(VALIDATINGWEBHOOKCONFIGURATIONS))
    assert not is_exempt(request(PODS))
