"""The registry finds kinds by their names and keeps upstream's order."""

from __future__ import annotations

import pytest

from steersman.meta import resources
from steersman.meta.resources import Resource
from steersman.schema.kind import Kind, Subresource
from steersman.schema.registry import Registry, subresource, version_priority


def kind(resource: Resource, *subresources: str) -> Kind:
    return Kind(
        resource=resource,
        definition="io.k8s.api.core.v1.Pod",
        singular=resource.kind.lower(),
        storage_prefix=resource.plural,
        subresources=tuple(Subresource(name=name, verbs=("get",)) for name in subresources),
    )


def resource(group: str, version: str, plural: str = "things", name: str = "Thing") -> Resource:
    return Resource(group=group, version=version, plural=plural, kind=name, namespaced=True)


POD, DEPLOYMENT = kind(resources.PODS, "status", "log"), kind(resources.DEPLOYMENTS)


def test_kinds_are_found_by_resource_and_by_kind() -> None:
    registry = Registry([POD, DEPLOYMENT])
    assert registry.lookup("", "v1", "pods") is POD
    assert registry.lookup("", "v2", "pods") is None
    assert registry.by_kind("apps", "v1", "Deployment") is DEPLOYMENT
    assert registry.by_api_version("apps/v1", "Deployment") is DEPLOYMENT
    assert registry.by_api_version("v1", "Pod") is POD


def test_two_kinds_cannot_claim_one_name() -> None:
    with pytest.raises(ValueError, match="pods of core/v1 is registered twice"):
        Registry([POD, POD])
    with pytest.raises(ValueError, match="Pod of core/v1 is registered twice"):
        Registry([POD, kind(resource("", "v1", "otherpods", "Pod"))])


def test_groups_stand_in_upstreams_order_and_foreign_ones_last_by_name() -> None:
    foreign = [kind(resource(group, "v1")) for group in ("zeta.example.com", "alpha.example.com")]
    registry = Registry([*foreign, DEPLOYMENT, kind(resources.JOBS), POD])
    assert registry.groups == ("", "apps", "batch", "alpha.example.com", "zeta.example.com")


def test_the_preferred_version_is_the_most_stable_and_newest() -> None:
    versions = ["v1beta1", "v2alpha1", "v1", "v2", "v1beta2", "v10", "foo", "v1alpha1"]
    ordered = ["v10", "v2", "v1", "v1beta2", "v1beta1", "v2alpha1", "v1alpha1", "foo"]
    assert sorted(versions, key=version_priority, reverse=True) == ordered
    registry = Registry([kind(resource("a", version)) for version in versions])
    assert registry.versions("a") == tuple(ordered)
    preferred = registry.preferred("a", "things")
    assert preferred is not None
    assert preferred.resource.version == "v10"
    assert registry.preferred("a", "nothing") is None


def test_kinds_of_a_version_are_sorted_by_plural() -> None:
    registry = Registry([POD, kind(resources.CONFIGMAPS), DEPLOYMENT])
    assert [entry.resource.plural for entry in registry.kinds_of("", "v1")] == ["configmaps", "pods"]


def test_subresources_are_found_by_name() -> None:
    found = subresource(POD, "log")
    assert found is not None
    assert found.name == "log"
    assert subresource(POD, "scale") is None


def test_a_registry_grows_into_a_new_one() -> None:
    small = Registry([POD])
    grown = small.with_kinds([DEPLOYMENT])
    assert small.lookup("apps", "v1", "deployments") is None
    assert grown.lookup("apps", "v1", "deployments") is DEPLOYMENT
