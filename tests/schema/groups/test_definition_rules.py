"""What is wrong with a CustomResourceDefinition: names, versions, structural schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.schema.groups.samples import CRD_VERSION, GONE, create_errors, kind_of, prepared, sample, update_errors

Row = tuple[Mapping[str, Any], list[str]]
NAME = "CustomResourceDefinition"
SCHEMA = "spec.versions.0.schema.openAPIV3Schema"
SHOWN = "spec.validation.openAPIV3Schema"
FIELD = f"{SHOWN}.properties[f]"
_WHOLE = f"{FIELD.partition('.properties')[0]}: Invalid value: \"\": OpenAPIV3Schema 'schema' is not supported"


def _field(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return {f"{SCHEMA}.properties": {"f": schema}}


ROWS: list[Row] = [
    (
        {"metadata.name": "bars.example.com"},
        ['metadata.name: Invalid value: "bars.example.com": must be spec.names.plural+"."+spec.group'],
    ),
    (
        {"spec.group": "example", "metadata.name": "foos.example"},
        ['spec.group: Invalid value: "example": should be a domain with at least one dot'],
    ),
    ({"spec.scope": "World"}, ['spec.scope: Unsupported value: "World": supported values: "Cluster", "Namespaced"']),
    (
        {"spec.names.listKind": "Foo"},
        ['spec.names.listKind: Invalid value: "Foo": kind and listKind may not be the same'],
    ),
    ({"spec.versions.0.schema": GONE}, ["spec.versions[0].schema.openAPIV3Schema: Required value"]),
    (
        {"spec.versions.0.deprecationWarning": "x"},
        ['spec.versions[0].deprecationWarning: Invalid value: "x": can only be set for deprecated versions'],
    ),
    (
        {"spec.versions.0.additionalPrinterColumns": [{"name": "a", "type": "string", "jsonPath": "spec.a"}]},
        [
            'spec.additionalPrinterColumns[0].JSONPath: Invalid value: "spec.a": must be a simple json path '
            "starting with ."
        ],
    ),
    (
        {
            "spec.versions.0.subresources": {
                "scale": {"specReplicasPath": ".status.a", "statusReplicasPath": ".status.b"}
            }
        },
        ['spec.subresources.scale.specReplicasPath: Invalid value: ".status.a": should be a json path under .spec'],
    ),
    (
        {"spec.versions.0.selectableFields": [{"jsonPath": ".spec"}]},
        [
            'spec.selectableFields[0].jsonPath: Invalid value: ".spec": must point to a field of type string, '
            "boolean or integer. Enum string fields and strings with formats are allowed."
        ],
    ),
    (
        {"spec.conversion": {"strategy": "Webhook"}},
        [
            "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
            "spec.conversion.conversionReviewVersions: Required value",
        ],
    ),
    (
        {"spec.preserveUnknownFields": True},
        [
            "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set x-kubernetes-preserve-unknown-fields to "
            "true in spec.versions[*].schema instead"
        ],
    ),
    (
        {"spec.group": "a.k8s.io", "metadata.name": "foos.a.k8s.io"},
        [
            "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups must have approval annotation "
            '"api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111'
        ],
    ),
    (
        {
            "spec.group": "a.k8s.io",
            "metadata.name": "foos.a.k8s.io",
            "metadata.annotations": {"api-approved.kubernetes.io": "unapproved, just a test"},
        },
        [],
    ),
    # structural schemas
    ({f"{SCHEMA}.type": GONE}, [f"{SHOWN}.type: Required value: must not be empty at the root"]),
    (
        {f"{SCHEMA}.type": "array", f"{SCHEMA}.items": {"type": "string"}},
        [f'{SHOWN}.type: Invalid value: "array": must be object at the root'],
    ),
    (_field({}), [f"{FIELD}.type: Required value: must not be empty for specified object fields"]),
    (_field({"x-kubernetes-preserve-unknown-fields": True}), []),
    (_field({"type": "array"}), [f"{FIELD}.items: Required value: must be specified"]),
    (
        _field({"type": "array", "items": {}}),
        [f"{FIELD}.items.type: Required value: must not be empty for specified array items"],
    ),
    (_field({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}), []),
    (
        _field({"type": "string", "anyOf": [{"type": "string"}]}),
        [f"{FIELD}.anyOf[0].type: Forbidden: must be empty to be structural"],
    ),
    (
        {f"{SCHEMA}.allOf": [{"properties": {"g": {"minimum": 1}}}]},
        [f"{SHOWN}.properties[g]: Required value: because it is defined in {SHOWN}.allOf[0].properties[g]"],
    ),
    (
        _field({"type": "string", "pattern": "("}),
        [
            f'{FIELD}.pattern: Invalid value: "(": must be a valid regular expression, but isn\'t: error parsing regexp: missing '
            "closing ): `(`"
        ],
    ),
    (_field({"type": "string", "pattern": r"^\p{L}\z"}), []),
    (
        {f"{SCHEMA}.properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}},
        [
            f"{SHOWN}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but "
            "metadata is implicitly specified"
        ],
    ),
    # what of OpenAPI is allowed
    (
        _field({"type": "text"}),
        [
            f'{FIELD}.type: Unsupported value: "text": supported values: "array", "boolean", "integer", "number", '
            '"object", "string"'
        ],
    ),
    (_field({"type": "string", "$ref": "#/a"}), [f"{FIELD}.$ref: Forbidden: $ref is not supported"]),
    (_field({"type": "string", "$ref": ""}), [f"{FIELD}.$ref: Forbidden: $ref is not supported"]),
    (
        _field({"type": "object", "definitions": {"a": {"$ref": "#/a"}, "b": {"type": "text"}}}),
        [
            f"{FIELD}.definitions: Forbidden: definitions is not supported",
            f"{FIELD}.definitions[a].$ref: Forbidden: $ref is not supported",
            f'{FIELD}.definitions[b].type: Unsupported value: "text": supported values: "array", "boolean", "integer", '
            '"number", "object", "string"',
        ],
    ),
    (_field({"id": "a"}), [f"{FIELD}.id: Forbidden: id is not supported"]),
    (_field({"$schema": "a"}), [_WHOLE]),
    (
        _field({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
        [f"{FIELD}.additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
    ),
    (
        _field({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "map"}),
        [
            f"{FIELD}.x-kubernetes-list-map-keys: Required value: must not be empty if x-kubernetes-list-type is map",
            f'{FIELD}.items.type: Invalid value: "string": must be object if parent array\'s x-kubernetes-list-type is map',
        ],
    ),
    (
        _field({"type": "string", "x-kubernetes-validations": [{"rule": "self == 'a'\n|| true"}]}),
        [
            f"{FIELD}.x-kubernetes-validations[0].message: Required value: message must be specified if rule contains line "
            "breaks"
        ],
    ),
    (
        {"spec.versions.0.subresources": {"status": {}}, f"{SCHEMA}.x-kubernetes-map-type": "atomic"},
        [
            f'{SHOWN}: Invalid value: {{"type":"object","properties":{{"spec":{{"type":"object"}}}},"x-kubernetes-map-type":'
            '"atomic"}: only [Description Type Format Title Maximum ExclusiveMaximum Minimum ExclusiveMinimum MaxLength '
            "MinLength Pattern MaxItems MinItems UniqueItems MultipleOf Required Items Properties ExternalDocs Example "
            "XPreserveUnknownFields XValidations] fields are allowed at the root of the schema if the status subresource is "
            "enabled"
        ],
    ),
]


@pytest.mark.parametrize(("changes", "expected"), ROWS, ids=[str(row[0])[:100] for row in ROWS])
def test_what_is_wrong_with_a_new_definition(changes: Mapping[str, Any], expected: list[str]) -> None:
    assert create_errors(NAME, sample(NAME, changes)) == expected


def test_one_version_is_stored_and_none_twice() -> None:
    second = {**CRD_VERSION, "name": "v1"}
    errors = create_errors(NAME, sample(NAME, {"spec.versions": [CRD_VERSION, second]}))
    assert [error.rpartition(": ")[2] for error in errors] == [
        "must contain unique version names",
        "must have exactly one version marked as storage version",
    ]


def test_the_stored_version_is_remembered() -> None:
    stored = prepared(NAME, sample(NAME))
    assert stored["status"] == {
        "conditions": None,
        "acceptedNames": {"plural": "", "kind": ""},
        "storedVersions": ["v1"],
    }
    versions = [{**CRD_VERSION, "storage": False}, {**CRD_VERSION, "name": "v2"}]
    new = {**stored, "spec": {**stored["spec"], "versions": versions}}
    kind_of(NAME).prepare_update(new, stored)
    assert new["status"]["storedVersions"] == ["v1", "v2"]
    assert stored["status"]["storedVersions"] == ["v1"]


def test_a_version_that_was_stored_stays_served_or_not_but_stays() -> None:
    stored = prepared(NAME, sample(NAME))
    (error,) = update_errors(NAME, stored, {"spec.versions": [{**CRD_VERSION, "name": "v2"}]})
    assert error.startswith(
        'status.storedVersions[0]: Invalid value: "v1": missing from spec.versions; v1 was previously a storage version'
    )


def test_names_are_fixed_once_established() -> None:
    stored = prepared(NAME, sample(NAME))
    assert update_errors(NAME, stored, {"spec.names.kind": "Bar"}) == []
    stored["status"]["conditions"] = [{"type": "Established", "status": "True"}]
    assert update_errors(NAME, stored, {"spec.names.kind": "Bar"}) == [
        'spec.names.kind: Invalid value: "Bar": field is immutable'
    ]


def test_warning_about_formats_that_mean_nothing() -> None:
    warnings = kind_of(NAME).warnings
    assert warnings is not None
    changes = _field({"type": "string", "format": "date-time"})
    assert warnings(sample(NAME, changes)) == []
    assert warnings(sample(NAME, _field({"type": "string", "format": "phone"}))) == ['unrecognized format "phone"']


def test_what_is_wrong_is_said_in_the_order_of_upstreams_internal_form() -> None:
    found = create_errors(NAME, sample(NAME, {"spec.versions": [], "spec.scope": "", "spec.names.plural": ""}))
    assert [error.partition(": ")[0] for error in found][1:] == [
        "spec.scope",
        "spec.versions",
        "spec.names.plural",
        "status.storedVersions",
    ]


def test_versions_are_shown_without_what_they_have_in_common() -> None:
    (error,) = [
        error
        for error in create_errors(NAME, sample(NAME, {"spec.versions.0.storage": False}))
        if error.startswith("spec.versions: ")
    ]
    assert error == (
        'spec.versions: Invalid value: [{"Name":"v1","Served":true,"Storage":false,"Deprecated":false,'
        '"DeprecationWarning":null,"Schema":null,"Subresources":null,"AdditionalPrinterColumns":null,'
        '"SelectableFields":null}]: must have exactly one version marked as storage version'
    )
