"""ControllerRevision: an immutable snapshot of a workload's state, for rollbacks."""

from __future__ import annotations

from steersman.meta.errors import FieldError, invalid, required
from steersman.meta.objects import Object, controller_of
from steersman.meta.resources import CONTROLLERREVISIONS
from steersman.schema.cells import NONE
from steersman.schema.columns import AGE, NAME, computed, count
from steersman.schema.equality import same
from steersman.schema.kind import Kind
from steersman.schema.rules import IMMUTABLE, check_counts


def default(obj: Object) -> None:
    if obj.get("revision") is None:
        obj["revision"] = 0


def _controller(obj: Object, now: float) -> str:
    owner = controller_of(obj)
    if owner is None:
        return NONE
    group, slash, _ = str(owner.get("apiVersion") or "").partition("/")
    kind = f"{owner.get('kind')}.{group}" if slash else str(owner.get("kind"))
    return f"{kind.lower()}/{owner.get('name')}"


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    check_counts(errors, obj, "", "revision")
    return errors


def validate_create(obj: Object) -> list[FieldError]:
    data = obj.get("data")
    if data is None:
        return [required("data", "data is mandatory")]
    return [] if isinstance(data, dict) else [required("data", "data must be a valid JSON object")]


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    if (new.get("data") is None) != (old.get("data") is None) or not same(new.get("data"), old.get("data")):
        errors.append(invalid("data", new.get("data"), IMMUTABLE))
    return errors


KIND = Kind(
    resource=CONTROLLERREVISIONS,
    definition="io.k8s.api.apps.v1.ControllerRevision",
    singular="controllerrevision",
    storage_prefix="controllerrevisions",
    default=default,
    columns=(
        NAME,
        computed("Controller", _controller, description="Controller of the object"),
        count("Revision", "revision", type="string", documented_by="io.k8s.api.apps.v1.ControllerRevision/revision"),
        AGE,
    ),
    validate=validate,
    validate_create=validate_create,
    validate_update=validate_update,
)
