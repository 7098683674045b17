"""What is wrong with the expressions of admission policies, in upstream's words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.schema.groups.samples import create_errors, sample

VALIDATING, MUTATING = "ValidatingAdmissionPolicy", "MutatingAdmissionPolicy"
PARAMS = {"apiVersion": "v1", "kind": "ConfigMap"}


def _validation(expression: str = "true", **more: Any) -> Mapping[str, Any]:
    return {"spec.validations": [{"expression": expression, **more}]}


def _undeclared(name: str, column: int, text: str) -> str:
    pointer = "." * (column - 1) + "^"
    return (
        f"compilation failed: ERROR: <input>:1:{column}: undeclared reference to '{name}' (in container '')\n | {text}\n"
        f" | {pointer}"
    )


ROWS: list[tuple[str, Mapping[str, Any], list[str]]] = [
    (VALIDATING, _validation("object.spec.replicas > 1 && request.name != ''"), []),
    (VALIDATING, _validation("authorizer.requestResource.check('x').allowed()"), []),
    (
        VALIDATING,
        _validation("1"),
        ['spec.validations[0].expression: Invalid value: "1": must evaluate to bool but got int'],
    ),
    (
        VALIDATING,
        _validation("object.x"),
        ['spec.validations[0].expression: Invalid value: "object.x": must evaluate to bool but got dyn'],
    ),
    (
        VALIDATING,
        _validation("params.x == 1"),
        [f'spec.validations[0].expression: Invalid value: "params.x == 1": {_undeclared("params", 1, "params.x == 1")}'],
    ),
    (VALIDATING, {**_validation("params.x == 1"), "spec.paramKind": PARAMS}, []),
    (
        VALIDATING,
        _validation("variables.a"),
        [f'spec.validations[0].expression: Invalid value: "variables.a": {_undeclared("variables", 1, "variables.a")}'],
    ),
    (VALIDATING, {**_validation("variables.a"), "spec.variables": [{"name": "a", "expression": "true"}]}, []),
    (
        VALIDATING,
        {**_validation("variables.a > 1"), "spec.variables": [{"name": "a", "expression": "'x'"}]},
        [
            'spec.validations[0].expression: Invalid value: "variables.a > 1": compilation failed: ERROR: <input>:1:13: found no '
            "matching overload for '_>_' applied to '(string, int)'\n | variables.a > 1\n | ............^"
        ],
    ),
    (
        VALIDATING,
        {
            **_validation("variables.b"),
            "spec.variables": [{"name": "a", "expression": "variables.b"}, {"name": "b", "expression": "true"}],
        },
        [
            'spec.variables[0].expression: Invalid value: "variables.b": compilation failed: ERROR: <input>:1:10: undefined field '
            "'b'\n | variables.b\n | .........^"
        ],
    ),
    (
        VALIDATING,
        _validation(messageExpression="1"),
        ['spec.validations[0].messageExpression: Invalid value: "1": must evaluate to string but got int'],
    ),
    (
        VALIDATING,
        _validation(messageExpression="string(authorizer.path('/x').check('get').allowed())"),
        [
            'spec.validations[0].messageExpression: Invalid value: "string(authorizer.path(\'/x\').check(\'get\').allowed())": '
            + _undeclared("authorizer", 8, "string(authorizer.path('/x').check('get').allowed())")
        ],
    ),
    (
        VALIDATING,
        {"spec.auditAnnotations": [{"key": "k", "valueExpression": " timestamp('2020-01-01T00:00:00Z') "}]},
        [
            "spec.auditAnnotations[0].valueExpression: Invalid value: \" timestamp('2020-01-01T00:00:00Z') \": must evaluate to one "
            "of [string null_type] but got google.protobuf.Timestamp"
        ],
    ),
    (VALIDATING, {"spec.auditAnnotations": [{"key": "k", "valueExpression": "null"}]}, []),
    (
        VALIDATING,
        {"spec.matchConditions": [{"name": "c", "expression": "variables.a"}], "spec.variables": [{"name": "a", "expression": "true"}]},
        [f'spec.matchConditions[0].expression: Invalid value: "variables.a": {_undeclared("variables", 1, "variables.a")}'],
    ),
    (
        VALIDATING,
        _validation("object.x.find('(') == ''"),
        [
            "spec.validations[0].expression: Internal error: program instantiation failed: error parsing regexp: missing closing ): "
            "`(`"
        ],
    ),
    (
        MUTATING,
        {"spec.mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "{'a': 1}"}}]},
        [
            "spec.mutations[0].applyConfiguration.expression: Invalid value: \"{'a': 1}\": must evaluate to Object but got "
            "map(string, int)"
        ],
    ),
    (
        MUTATING,
        {"spec.mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "JSONPatch{op: 'test'}"}}]},
        [
            "spec.mutations[0].jsonPatch.expression: Invalid value: \"JSONPatch{op: 'test'}\": must evaluate to list(JSONPatch) but "
            "got JSONPatch"
        ],
    ),
    (
        MUTATING,
        {"spec.mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{nope: 'x'}]"}}]},
        [
            "spec.mutations[0].jsonPatch.expression: Invalid value: \"[JSONPatch{nope: 'x'}]\": compilation failed: ERROR: "
            "<input>:1:16: expected type of field 'nope' is '' but provided type is 'string'\n | [JSONPatch{nope: 'x'}]\n | ...............^"
        ],
    ),
    (
        MUTATING,
        {"spec.mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": " Object{spec: Object.spec{replicas: 3}} "}}]},
        [],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "changes", "errors"), ROWS)
def test_expressions_are_compiled_when_a_policy_is_written(
    kind: str, changes: Mapping[str, Any], errors: list[str]
) -> None:
    assert create_errors(kind, sample(kind, changes)) == errors
