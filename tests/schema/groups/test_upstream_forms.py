"""Values as messages show them, and choices that are sent empty: compared with kube-apiserver v1.36."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.schema.groups.samples import changed, create_errors, prepared, sample, status_errors, update_errors


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        (
            "StorageClass",
            {"volumeBindingMode": ""},
            ['volumeBindingMode: Unsupported value: "": supported values: "Immediate", "WaitForFirstConsumer"'],
        ),
        (
            "ValidatingWebhookConfiguration",
            {"webhooks.0.failurePolicy": ""},
            ['webhooks[0].failurePolicy: Unsupported value: "": supported values: "Fail", "Ignore"'],
        ),
        ("PriorityClass", {"preemptionPolicy": ""}, ["preemptionPolicy: Required value"]),
        (
            "DeviceClass",
            {"spec.selectors": [{"cel": {"expression": "device.driver"}}]},
            [
                'spec.selectors[0].cel.expression: Invalid value: "device.driver": must evaluate to bool or the unknown type, '
                "not string"
            ],
        ),
        (
            "DeviceClass",
            {"spec.selectors": [{"cel": {"expression": "[1].all(x, device.attributes.all(a, device.attributes.all(b, "
             "device.attributes.all(c, device.attributes.all(d, device.attributes[d].all(e, device.attributes[a].all(f, "
             'e.matches("x") && f.matches("x"))))))))'}}]},
            ["spec.selectors[0].cel.expression: Forbidden: too complex, exceeds cost limit"],
        ),
        (
            "ResourceClaimTemplate",
            {"spec.metadata": {"name": "a", "uid": "b"}},
            ["spec.metadata.name: Forbidden: cannot be set", "spec.metadata.uID: Forbidden: cannot be set"],
        ),
        (
            "PersistentVolume",
            {"spec.cephfs": {"monitors": ["a"]}},
            ["spec.cephFS: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            "PersistentVolume",
            {"metadata.annotations": {"volume.beta.kubernetes.io/mount-options": "a"}},
            [
                "metadata.annotations.volume.beta.kubernetes.io/mount-options: Forbidden: may not specify mount options for "
                "this volume type"
            ],
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_new_object(name: str, changes: Mapping[str, Any], expected: list[str]) -> None:
    assert create_errors(name, changed(sample(name), changes)) == expected


def test_a_template_that_must_not_change_is_shown_in_upstreams_internal_form() -> None:
    old = prepared("Job", sample("Job"))
    [said] = update_errors("Job", old, {"spec.template.spec.nodeSelector": {"a": "b"}})
    assert said.startswith("spec.template: Invalid value: {")
    assert '"Spec":{"Volumes":null,"InitContainers":null,"Containers":[{"Name":"c"' in said
    assert '"DNSPolicy":"ClusterFirst","NodeSelector":{"a":"b"}' in said
    assert '"SecurityContext":{"HostNetwork":false,"HostPID":false,"HostIPC":false,' in said
    assert said.endswith(": field is immutable")


def test_a_claim_that_must_not_change_is_shown_so_too() -> None:
    old = prepared("ResourceClaim", sample("ResourceClaim"))
    said = update_errors("ResourceClaim", old, {"spec.devices": {}})
    assert said == [
        'spec: Invalid value: {"Devices":{"Requests":null,"Constraints":null,"Config":null}}: field is immutable'
    ]


def test_a_selector_is_shown_with_its_fields_in_order() -> None:
    old = prepared("Deployment", sample("Deployment"))
    selector = {"matchLabels": {"a": "b"}, "matchExpressions": [{"values": ["b"], "operator": "In", "key": "a"}]}
    [said] = update_errors("Deployment", old, {"spec.selector": selector})
    assert '"matchExpressions":[{"key":"a","operator":"In","values":["b"]}]' in said


def test_the_counts_of_a_stateful_set_are_compared_in_order() -> None:
    old = prepared("StatefulSet", sample("StatefulSet"))
    more = "cannot be greater than status.replicas"
    assert status_errors(
        "StatefulSet", old, {"status": {"replicas": 0, "availableReplicas": 1, "readyReplicas": 2}}
    ) == [
        f"status.readyReplicas: Invalid value: 2: {more}",
        f"status.availableReplicas: Invalid value: 1: {more}",
    ]


def test_a_hosts_address_is_the_first_of_its_addresses() -> None:
    old = prepared("Pod", sample("Pod"))
    status = {"hostIP": "192.0.2.1", "hostIPs": [{"ip": "192.0.2.2"}]}
    assert status_errors("Pod", old, {"status": {**old["status"], **status}}) == [
        'status.hostIPs[0].ip: Invalid value: "192.0.2.2": must be equal to `hostIP`'
    ]


def test_a_source_of_another_kind_is_ignored_where_only_claims_are_known() -> None:
    source = {"apiGroup": "example.com", "kind": "Backup", "name": "a"}
    assert (
        "dataSource"
        not in prepared("PersistentVolumeClaim", changed(sample("PersistentVolumeClaim"), {"spec.dataSource": source}))[
            "spec"
        ]
    )
    made = prepared("PersistentVolumeClaim", changed(sample("PersistentVolumeClaim"), {"spec.dataSourceRef": source}))
    assert made["spec"]["dataSource"] == source
