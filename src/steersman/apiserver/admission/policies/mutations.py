"""What a mutating policy does to an object: apply configurations merged into it, JSON patches.

Source: "Mutating Admission Policy" in the Kubernetes documentation (KEP-3962).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from msgspec import Struct

from steersman.apiserver.admission.evaluation import OutOfBudget
from steersman.apiserver.admission.matching import GroupVersionKind, Versioned
from steersman.apiserver.admission.policies.evaluating import Evaluation
from steersman.apiserver.admission.policies.kinds import PolicyKinds
from steersman.apiserver.admission.policies.policy import Policy
from steersman.apiserver.admission.policies.refusals import internal
from steersman.cel import PER_CALL_LIMIT, CELError
from steersman.cel.effort import METER
from steersman.cel.libraries.patches import misnamed_types, to_json
from steersman.cel.values import Duration, ObjectValue, OptionalValue, Timestamp, Value, from_map_key
from steersman.meta.errors import APIError, BadRequest, InternalError, ServiceUnavailable
from steersman.meta.objects import Object
from steersman.meta.patches import PatchDoesNotApply, json_patch
from steersman.schema.groups.admissionregistration.expressions import Expression
from steersman.schema.managedfields import merging, validation
from steersman.schema.managedfields.typed import ANY, Type, UntypedElement
from steersman.schema.managedfields.validation import NoJSON


class Mutation(Struct, frozen=True, kw_only=True):
    expression: Expression
    is_json_patch: bool


class MutatingPolicy(Policy):
    def __init__(self, obj: Object) -> None:
        super().__init__(obj)
        self.is_reinvoked = self._spec.get("reinvocationPolicy") == "IfNeeded"

    @cached_property
    def mutations(self) -> Sequence[Mutation]:
        compiler = self._compiler()
        found: list[Mutation] = []
        for entry in self._spec.get("mutations") or ():
            is_json_patch = entry["patchType"] == "JSONPatch"
            text = entry["jsonPatch" if is_json_patch else "applyConfiguration"]["expression"]
            compiled = compiler.json_patch(text) if is_json_patch else compiler.apply_configuration(text)
            found.append(Mutation(expression=compiled, is_json_patch=is_json_patch))
        return tuple(found)


class Failed(Exception):
    """A mutation did not work: ``failurePolicy`` decides what that means."""


async def mutated(mutation: Mutation, seen: Versioned, evaluation: Evaluation, kinds: PolicyKinds) -> Object:
    """The object after the mutation, with defaults. Raises ``Failed``, and ``APIError`` that no policy can ignore."""
    assert seen.obj is not None
    fields_type = kinds.fields_type(seen.request.kind, seen.target.kind)
    if fields_type is None:
        raise ServiceUnavailable(
            f"Resource kind {seen.target.kind} not found. There can be a delay between when CustomResourceDefinitions are "
            "created and when they are available."
        )
    value = await _value(mutation.expression, evaluation)
    METER.open(PER_CALL_LIMIT)
    try:
        new = _patched(seen, value, kinds) if mutation.is_json_patch else _applied(seen.obj, value, fields_type)
    except CELError as error:
        raise Failed(str(error)) from error
    if new is seen.obj:
        return new
    try:
        return kinds.decode(seen.request.kind, new, seen.target.kind)
    except (BadRequest, InternalError) as error:
        raise Failed(error.message) from error


async def _value(expression: Expression, evaluation: Evaluation) -> Value:
    if expression.program is None:
        raise Failed(expression.problem)
    try:
        result = await evaluation.result(expression)
    except OutOfBudget as error:
        raise Failed(str(error)) from error
    if result.error:
        raise Failed(result.error)
    return result.value


def _applied(obj: Object, value: Value, fields_type: Type) -> Object:
    if not isinstance(value, ObjectValue):
        raise Failed("unsupported return type from ApplyConfiguration expression")
    _check_names(value)
    config = _json(value)
    config["apiVersion"], config["kind"] = obj.get("apiVersion"), obj.get("kind")
    errors = validation.errors_of({**_typed(value), "apiVersion": "", "kind": ""}, fields_type)
    if errors:
        why = validation.text_of(errors)
        raise Failed(f"error applying patch: failed to convert patch object to typed object: {why}")
    atomics = list(_atomics(config, fields_type, ""))
    if atomics:
        why = f"may not mutate atomic arrays, maps or structs: {', '.join(atomics)}"
        raise Failed(f"error applying patch: invalid ApplyConfiguration: {why}")
    try:
        return merging.merged(obj, config, fields_type)
    except UntypedElement as error:
        raise Failed(f"error applying patch: failed to merge patch: {error}") from error


def _atomics(value: Any, fields_type: Type, path: str) -> Iterator[str]:
    """Paths of values that are owned as a whole: setting a part of one would take away the rest."""
    if isinstance(value, dict):
        if fields_type.form == "leaf":
            yield path
            return
        for key, item in value.items():
            found = ANY if fields_type.form == "any" else fields_type.child(key) or ANY
            yield from _atomics(item, found, f"{path}.{key}")
    elif isinstance(value, list):
        if fields_type.form in ("leaf", "any"):
            yield path
            return
        for index, item in enumerate(value):
            yield from _atomics(item, fields_type.element or ANY, f"{path}[{index}]")


def _patched(seen: Versioned, value: Value, kinds: PolicyKinds) -> Object:
    assert seen.obj is not None
    operations = [_operation(entry) for entry in value]
    try:
        new = json_patch(seen.obj, operations)
    except PatchDoesNotApply as error:
        if str(error).endswith(": test failed"):
            return seen.obj
        raise Failed(f"JSON Patch: {error}") from error
    except APIError as error:
        raise Failed(f"JSON Patch: {error}") from error
    if not isinstance(new, dict):
        raise internal("couldn't get version/kind; json parse error: json: cannot unmarshal into Go value")
    named = GroupVersionKind.of(new.get("apiVersion") or "", new.get("kind") or "")
    try:
        unknown = kinds.unknown_fields(seen.request.kind, new, named)
    except BadRequest as error:
        raise internal(error.message) from error
    if unknown:
        raise internal("strict decoding error: " + ", ".join(f'unknown field "{field}"' for field in unknown))
    if named != seen.target.kind:
        raise internal(f"unable to convert an object of {named} to {seen.target.kind}")
    return new


def _operation(entry: Value) -> dict[str, Any]:
    if not isinstance(entry, ObjectValue):
        raise Failed("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch")
    fields = entry.fields
    operation: dict[str, Any] = {"op": fields.get("op") or "", "path": fields.get("path") or ""}
    if fields.get("from"):
        operation["from"] = fields["from"]
    if "value" in fields:
        value = fields["value"]
        if isinstance(value, ObjectValue):
            _check_names(value)
        operation["value"] = _json(value)
    return operation


def _typed(value: Value) -> Any:
    """What type checking sees of a value: unlike patches, apply configurations are not turned into JSON before."""
    match value:
        case ObjectValue():
            return {name: _typed(item) for name, item in value.fields.items()}
        case dict():
            return {str(from_map_key(key)): _typed(item) for key, item in value.items()}
        case list():
            return [_typed(item) for item in value]
        case None:
            return NoJSON("NULL_VALUE", "0")
        case bytes():
            return NoJSON(f"[{' '.join(map(str, value))}]", f"[]uint8{{{', '.join(map(hex, value))}}}")
        case Timestamp() | Duration():
            text = str(_json(value))
            return NoJSON(text, text)
        case OptionalValue() if value.present:
            return _typed(value.value)
    return value


def _check_names(value: ObjectValue) -> None:
    errors = misnamed_types(value, tuple(value.type_name.split(".")))
    if errors:
        raise Failed("type mismatch: " + "\n".join(errors))


def _json(value: Value) -> Any:
    """As JSON, in which whole numbers are written without a fraction whatever type they have."""
    return _whole(to_json(value))


def _whole(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**63 else value
    if isinstance(value, dict):
        return {key: _whole(item) for key, item in value.items()}
    return [_whole(item) for item in value] if isinstance(value, list) else value
