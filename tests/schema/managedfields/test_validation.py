"""What is inside atomic lists and maps is held against the schema, though it is owned as a whole."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.schema.customresources import ownership
from steersman.schema.managedfields.typed import type_of
from steersman.schema.managedfields.validation import errors_of

POD_SPEC = type_of("io.k8s.api.core.v1.PodSpec")
DEPLOYMENT_SPEC = type_of("io.k8s.api.apps.v1.DeploymentSpec")
NOT_DECLARED = "field not declared in schema"
NOT_TEXT = "expected string, got &value.valueUnstructured{Value:5}"


@pytest.mark.parametrize(
    ("spec", "errors"),
    [
        ({"tolerations": [{"key": "a", "operator": "Exists", "tolerationSeconds": 5}, None]}, []),
        ({"tolerations": [{"keyy": "a"}]}, [f".tolerations[0].keyy: {NOT_DECLARED}"]),
        ({"tolerations": [{}, {"key": 5}]}, [f".tolerations[1].key: {NOT_TEXT}"]),
        ({"tolerations": ["x"]}, [".tolerations[0]: expected map, got &{x}"]),
        ({"nodeSelector": {"a": "b", "c": None}}, []),
        ({"nodeSelector": {"a": 5}}, [f".nodeSelector.a: {NOT_TEXT}"]),
        ({"dnsConfig": {"options": [{"nam": "a"}]}}, [f".dnsConfig.options[0].nam: {NOT_DECLARED}"]),
        (
            {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"terms": []}}}},
            [f".affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.terms: {NOT_DECLARED}"],
        ),
        ({"containers": [{"name": "c", "command": ["a", 5]}]}, [f'.containers[name="c"].command[1]: {NOT_TEXT}']),
        (
            {"containers": [{"name": "c", "env": [{"name": "e", "valueFrom": {"fieldRef": {"path": "x"}}}]}]},
            [f'.containers[name="c"].env[name="e"].valueFrom.fieldRef.path: {NOT_DECLARED}'],
        ),
    ],
)
def test_built_in_kinds(spec: Any, errors: list[str]) -> None:
    assert errors_of(spec, POD_SPEC) == errors


@pytest.mark.parametrize(
    ("selector", "errors"),
    [
        ({"matchLabels": {"a": "b"}}, []),
        ({"matchLabelz": {"a": "b"}}, [f".selector.matchLabelz: {NOT_DECLARED}"]),
        ({"matchLabels": {"a": 5}}, [f".selector.matchLabels.a: {NOT_TEXT}"]),
        ({"matchExpressions": [{"key": "a", "valuez": []}]}, [f".selector.matchExpressions[0].valuez: {NOT_DECLARED}"]),
    ],
)
def test_selectors(selector: Any, errors: list[str]) -> None:
    assert errors_of({"selector": selector}, DEPLOYMENT_SPEC) == errors


CUSTOM = ownership.compiled(
    {
        "type": "object",
        "properties": {
            "list": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"a": {"type": "string"}, "port": {"x-kubernetes-int-or-string": True}},
                },
            },
            "map": {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": {"type": "string"}}},
            "open": {
                "type": "object",
                "x-kubernetes-map-type": "atomic",
                "x-kubernetes-preserve-unknown-fields": True,
                "properties": {"a": {"type": "string"}},
            },
            "lists": {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
        },
    }
)


@pytest.mark.parametrize(
    ("obj", "errors"),
    [
        ({"list": [{"a": "b", "port": 5}, {"port": "5%"}, {"port": {}}, None]}, []),
        ({"list": [{"b": 1}]}, [f".list[0].b: {NOT_DECLARED}"]),
        ({"list": [{"a": 5}]}, [f".list[0].a: {NOT_TEXT}"]),
        ({"map": {"b": 1}}, [f".map.b: {NOT_DECLARED}"]),
        ({"open": {"a": "b", "c": [5]}}, []),
        ({"open": {"a": 5}}, [f".open.a: {NOT_TEXT}"]),
        ({"lists": [["a"], ["b", 5]]}, [f".lists[1][1]: {NOT_TEXT}"]),
    ],
)
def test_custom_kinds(obj: Any, errors: list[str]) -> None:
    assert errors_of(obj, CUSTOM) == errors
