"""PodDisruptionBudget: how many pods may be disrupted at a time."""

from __future__ import annotations

from steersman.meta.errors import FieldError, invalid
from steersman.meta.names import path_segment_errors
from steersman.meta.objects import Object
from steersman.meta.resources import PODDISRUPTIONBUDGETS
from steersman.schema import goforms
from steersman.schema.columns import AGE, NAME, computed, count, value_at
from steersman.schema.conditions import check_conditions
from steersman.schema.groups.core.workloads import check_at_most_100_percent, check_count_or_percent
from steersman.schema.kind import Kind
from steersman.schema.rules import check_counts, check_label_selector, check_optional_choice
from steersman.schema.subresources import STATUS

EVICTION_POLICIES = ("AlwaysAllow", "IfHealthyBudget")
_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods")


def default(obj: Object) -> None:
    if obj.get("spec") is None:
        obj["spec"] = {}
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    for name in _COUNTS:
        status.setdefault(name, 0)


def _bound(obj: Object, name: str) -> str:
    bound = value_at(obj, "spec", name)
    return "N/A" if bound is None else str(bound)


def prepare_create(obj: Object) -> None:
    obj["status"] = dict.fromkeys(_COUNTS, 0)


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    bounds = [name for name in ("minAvailable", "maxUnavailable") if spec.get(name) is not None]
    if len(bounds) == 2:
        errors.append(
            invalid(
                "spec",
                goforms.internal("policy.v1.PodDisruptionBudgetSpec", spec),
                "minAvailable and maxUnavailable cannot be both set",
            )
        )
    for name in bounds:
        check_count_or_percent(errors, spec[name], f"spec.{name}")
        check_at_most_100_percent(errors, spec[name], f"spec.{name}")
    check_label_selector(errors, spec.get("selector"), "spec.selector")
    policy = spec.get("unhealthyPodEvictionPolicy")
    check_optional_choice(errors, policy, "spec.unhealthyPodEvictionPolicy", EVICTION_POLICIES)
    return errors


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    status = new.get("status") or {}
    check_conditions(errors, status.get("conditions"), "status.conditions")
    check_counts(errors, status, "status", *_COUNTS)
    return errors


KIND = Kind(
    resource=PODDISRUPTIONBUDGETS,
    definition="io.k8s.api.policy.v1.PodDisruptionBudget",
    singular="poddisruptionbudget",
    short_names=("pdb",),
    subresources=(STATUS,),
    qualifies_finalizers=False,
    storage_prefix="poddisruptionbudgets",
    has_status=True,
    counts_generation=True,
    allows_unconditional_update=False,
    default=default,
    columns=(
        NAME,
        computed(
            "Min Available",
            lambda obj, now: _bound(obj, "minAvailable"),
            description="The minimum number of pods that must be available.",
        ),
        computed(
            "Max Unavailable",
            lambda obj, now: _bound(obj, "maxUnavailable"),
            description="The maximum number of pods that may be unavailable.",
        ),
        count(
            "Allowed Disruptions",
            "status",
            "disruptionsAllowed",
            description="Calculated number of pods that may be disrupted at this time.",
        ),
        AGE,
    ),
    name_errors=path_segment_errors,
    prepare_create=prepare_create,
    validate=validate,
    validate_status_update=validate_status_update,
)
