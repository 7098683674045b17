"""PriorityClass: a name for a priority of pods."""

from __future__ import annotations

from steersman.meta.errors import FieldError, forbidden
from steersman.meta.objects import Object
from steersman.meta.resources import PRIORITYCLASSES
from steersman.schema.columns import AGE, NAME, count, flag, text
from steersman.schema.kind import Kind
from steersman.schema.rules import check_choice, check_immutable


def default(obj: Object) -> None:
    obj.setdefault("value", 0)
    if obj.get("preemptionPolicy") is None:
        obj["preemptionPolicy"] = "PreemptLowerPriority"


def prepare_create(obj: Object) -> None:
    """Upstream starts the generation and never raises it."""
    obj["metadata"]["generation"] = 1


HIGHEST_USER_PRIORITY = 1_000_000_000
_SYSTEM = "system-"
SYSTEM_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
_POLICIES = ("PreemptLowerPriority", "Never")


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    name, value = obj["metadata"].get("name") or "", obj.get("value") or 0
    if name.startswith(_SYSTEM):
        wrong = _wrong_with_system_class(name, value, is_default=bool(obj.get("globalDefault")))
        if wrong:
            detail = f"priority class names with '{_SYSTEM}' prefix are reserved for system use only. error: {wrong}"
            errors.append(forbidden("metadata.name", detail))
    elif value > HIGHEST_USER_PRIORITY:
        detail = f"maximum allowed value of a user defined priority is {HIGHEST_USER_PRIORITY}"
        errors.append(forbidden("value", detail))
    check_choice(errors, obj.get("preemptionPolicy"), "preemptionPolicy", _POLICIES)
    return errors


def _wrong_with_system_class(name: str, value: int, *, is_default: bool) -> str:
    wanted = SYSTEM_CLASSES.get(name)
    if wanted is None:
        return f"{name} is not a known system priority class"
    if value != wanted:
        return f"value of {name} PriorityClass must be {wanted}"
    return f"globalDefault of {name} PriorityClass must be false" if is_default else ""


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    if (new.get("value") or 0) != (old.get("value") or 0):
        errors.append(forbidden("value", "may not be changed in an update."))
    check_immutable(errors, new.get("preemptionPolicy"), old.get("preemptionPolicy"), "preemptionPolicy")
    return errors


KIND = Kind(
    resource=PRIORITYCLASSES,
    definition="io.k8s.api.scheduling.v1.PriorityClass",
    singular="priorityclass",
    short_names=("pc",),
    storage_prefix="priorityclasses",
    default=default,
    prepare_create=prepare_create,
    columns=(
        NAME,
        count("Value", "value", documented_by="io.k8s.api.scheduling.v1.PriorityClass/value"),
        flag("Global-Default", "globalDefault", documented_by="io.k8s.api.scheduling.v1.PriorityClass/globalDefault"),
        AGE,
        text(
            "PreemptionPolicy",
            "preemptionPolicy",
            documented_by="io.k8s.api.scheduling.v1.PriorityClass/preemptionPolicy",
        ),
    ),
    validate=validate,
    validate_update=validate_update,
)
