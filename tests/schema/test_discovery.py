"""Discovery documents have upstream's shape."""

from __future__ import annotations

from steersman.schema import discovery
from steersman.schema.groups import REGISTRY
from steersman.schema.registry import Registry

SERVED = Registry(REGISTRY)


def test_the_core_group_is_listed_by_version_alone() -> None:
    assert discovery.api_versions(SERVED, "10.0.0.1:6443") == {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "10.0.0.1:6443"}],
    }
    core = discovery.api_resource_list(SERVED, "", "v1")
    assert core is not None
    assert "apiVersion" not in core
    assert core["groupVersion"] == "v1"


def test_groups_name_their_preferred_version() -> None:
    listed = discovery.api_group_list(SERVED)
    assert "" not in [group["name"] for group in listed["groups"]]
    autoscaling = discovery.api_group(SERVED, "autoscaling")
    assert autoscaling == {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": "autoscaling",
        "versions": [
            {"groupVersion": "autoscaling/v2", "version": "v2"},
            {"groupVersion": "autoscaling/v1", "version": "v1"},
        ],
        "preferredVersion": {"groupVersion": "autoscaling/v2", "version": "v2"},
    }
    assert discovery.api_group(SERVED, "") is None
    assert discovery.api_group(SERVED, "example.com") is None


def test_resources_and_subresources_are_sorted_by_name() -> None:
    core = discovery.api_resource_list(SERVED, "", "v1")
    assert core is not None
    entries = {entry["name"]: entry for entry in core["resources"]}
    assert list(entries) == sorted(entries)
    assert entries["pods"] == {
        "name": "pods",
        "singularName": "pod",
        "namespaced": True,
        "kind": "Pod",
        "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        "shortNames": ["po"],
        "categories": ["all"],
        "storageVersionHash": "xPOwRZ+Yhw8=",
    }
    assert entries["pods/eviction"] == {
        "name": "pods/eviction",
        "singularName": "",
        "namespaced": True,
        "group": "policy",
        "version": "v1",
        "kind": "Eviction",
        "verbs": ["create"],
    }
    assert "storageVersionHash" not in entries["bindings"]
    assert discovery.api_resource_list(SERVED, "apps", "v9") is None


def test_versions_of_one_store_share_a_storage_hash() -> None:
    core, newer = (SERVED.by_kind(group, "v1", "Event") for group in ("", "events.k8s.io"))
    assert core is not None
    assert newer is not None
    assert discovery.storage_version_hash(core) == discovery.storage_version_hash(newer) == "r2yiGXH7wu8="


def test_the_aggregated_documents_cover_everything_once() -> None:
    core = discovery.aggregated(SERVED, core=True)
    others = discovery.aggregated(SERVED, core=False, version="v2beta1")
    assert core["apiVersion"] == "apidiscovery.k8s.io/v2"
    assert others["apiVersion"] == "apidiscovery.k8s.io/v2beta1"
    assert [item["metadata"] for item in core["items"]] == [{}]
    assert [item["metadata"]["name"] for item in others["items"]] == [group for group in SERVED.groups if group]
    resources = [
        resource
        for document in (core, others)
        for item in document["items"]
        for version in item["versions"]
        for resource in version["resources"]
    ]
    assert len(resources) == len(SERVED.kinds)
    pods = next(resource for resource in resources if resource["resource"] == "pods")
    assert pods["scope"] == "Namespaced"
    assert pods["responseKind"] == {"group": "", "version": "", "kind": "Pod"}
    assert {"subresource": "log", "responseKind": {"group": "", "version": "", "kind": "Pod"}, "verbs": ["get"]} in (
        pods["subresources"]
    )


def test_the_media_type_names_the_document() -> None:
    assert discovery.aggregated_media_type("v2") == (
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    )
