"""StatefulSet: pods with stable names and storage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta.errors import FieldError, forbidden, invalid, not_supported, required
from steersman.meta.names import label_errors
from steersman.meta.objects import Object
from steersman.meta.resources import STATEFULSETS
from steersman.schema import goforms
from steersman.schema.columns import AGE, NAME, computed, containers, value_at
from steersman.schema.equality import same
from steersman.schema.groups.core.claimspec import check_claim_spec, default_claim_template
from steersman.schema.groups.core.podspec.defaults import default_pod_template
from steersman.schema.groups.core.podspec.warnings import claim_warnings, workload_update_warnings, workload_warnings
from steersman.schema.groups.core.workloads import (
    amount_of,
    check_at_most_100_percent,
    check_collision_count,
    check_count_or_percent,
    check_running_template,
    check_workload_selector,
)
from steersman.schema.kind import Kind
from steersman.schema.rules import check_counts, check_name
from steersman.schema.subresources import SCALE, STATUS


def default(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    default_pod_template(spec.setdefault("template", {}))
    for claim in spec.get("volumeClaimTemplates") or ():
        default_claim_template(claim)
    if not spec.get("podManagementPolicy"):
        spec["podManagementPolicy"] = "OrderedReady"
    strategy = spec.get("updateStrategy")
    if strategy is None:
        strategy = spec["updateStrategy"] = {}
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        if strategy.get("rollingUpdate") is None:
            strategy["rollingUpdate"] = {}
    rolling = strategy.get("rollingUpdate")
    if strategy["type"] == "RollingUpdate" and rolling is not None and rolling.get("partition") is None:
        rolling["partition"] = 0
    retention = spec.get("persistentVolumeClaimRetentionPolicy")
    if retention is None:
        retention = spec["persistentVolumeClaimRetentionPolicy"] = {}
    for when in ("whenDeleted", "whenScaled"):
        if not retention.get(when):
            retention[when] = "Retain"
    if spec.get("replicas") is None:
        spec["replicas"] = 1
    if spec.get("revisionHistoryLimit") is None:
        spec["revisionHistoryLimit"] = 10
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    status.setdefault("replicas", 0)
    status.setdefault("availableReplicas", 0)


def _ready(obj: Object, now: float) -> str:
    return f"{value_at(obj, 'status', 'readyReplicas') or 0}/{value_at(obj, 'spec', 'replicas') or 0}"


MANAGEMENT_POLICIES = ("OrderedReady", "Parallel")
_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)


def prepare_create(obj: Object) -> None:
    obj["status"] = {"replicas": 0, "availableReplicas": 0}


def validate(obj: Object) -> list[FieldError]:
    return _errors(obj)


def validate_created(obj: Object) -> list[FieldError]:
    """What cannot change later is not looked at again."""
    return _errors(obj, is_new=True)


def _errors(obj: Object, *, is_new: bool = False) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    policy = spec.get("podManagementPolicy")
    if not policy:
        errors.append(required("spec.podManagementPolicy"))
    elif policy not in MANAGEMENT_POLICIES:
        errors.append(invalid("spec.podManagementPolicy", policy, "must be 'OrderedReady' or 'Parallel'"))
    _check_strategy(errors, spec.get("updateStrategy") or {})
    for when, action in (spec.get("persistentVolumeClaimRetentionPolicy") or {}).items():
        if action not in ("Retain", "Delete"):
            errors.append(
                not_supported(f"spec.persistentVolumeClaimRetentionPolicy.{when}", action, ("Retain", "Delete"))
            )
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or () if is_new else ()):
        check_claim_spec(errors, claim.get("spec") or {}, f"spec.volumeClaimTemplates[{index}].spec")
    check_counts(errors, spec, "spec", "replicas", "minReadySeconds")
    check_counts(errors, spec.get("ordinals") or {}, "spec.ordinals", "start")
    if is_new and spec.get("serviceName"):
        check_name(errors, spec["serviceName"], "spec.serviceName", label_errors)
    check_workload_selector(errors, spec, "statefulset")
    template = _template_with_claims(spec)
    check_running_template(errors, {**spec, "template": template}, "StatefulSet", check_again=True)
    return errors


def _template_with_claims(spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The template with the volumes that its claims become, and without the host name that each pod gets of its own."""
    template, claims = spec.get("template"), spec.get("volumeClaimTemplates") or ()
    if template is None:
        return None
    pod = {name: value for name, value in (template.get("spec") or {}).items() if name not in ("hostname", "subdomain")}
    made = [(claim.get("metadata") or {}).get("name") or "" for claim in claims]
    if made:
        pod["volumes"] = [
            *({"name": name, "persistentVolumeClaim": {"claimName": name}} for name in made),
            *(volume for volume in pod.get("volumes") or () if volume.get("name") not in made),
        ]
    return {**template, "spec": pod}


def _check_strategy(errors: list[FieldError], strategy: Mapping[str, Any]) -> None:
    kind, rolling, path = strategy.get("type"), strategy.get("rollingUpdate"), "spec.updateStrategy"
    if not kind:
        errors.append(required(path))
    elif kind == "OnDelete":
        if rolling is not None:
            errors.append(invalid(f"{path}.rollingUpdate", rolling, "only allowed for updateStrategy 'RollingUpdate'"))
    elif kind != "RollingUpdate":
        errors.append(
            invalid(
                path,
                goforms.internal("apps.v1.StatefulSetUpdateStrategy", strategy),
                "must be 'RollingUpdate' or 'OnDelete'",
            )
        )
    elif rolling is not None:
        check_counts(errors, rolling, f"{path}.rollingUpdate", "partition")
        unavailable, at = rolling.get("maxUnavailable"), f"{path}.rollingUpdate.maxUnavailable"
        if unavailable is not None:
            check_count_or_percent(errors, unavailable, at)
            if amount_of(unavailable) == 0:
                errors.append(invalid(at, unavailable, "cannot be 0"))
            check_at_most_100_percent(errors, unavailable, at)


def validate_update(new: Object, old: Object) -> list[FieldError]:
    rest, before = (
        {name: value for name, value in (obj.get("spec") or {}).items() if name not in _MUTABLE} for obj in (new, old)
    )
    if same(rest, before):
        return []
    detail = (
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
        "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
    )
    return [forbidden("spec", detail)]


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    status = new.get("status") or {}
    errors: list[FieldError] = []
    counted = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    check_counts(errors, status, "status", "replicas", *counted, "observedGeneration", "collisionCount")
    errors.extend(
        invalid(f"status.{name}", status.get(name) or 0, "cannot be greater than status.replicas")
        for name in counted
        if (status.get(name) or 0) > (status.get("replicas") or 0)
    )
    available = status.get("availableReplicas") or 0
    if available > (status.get("readyReplicas") or 0):
        errors.append(invalid("status.availableReplicas", available, "cannot be greater than status.readyReplicas"))
    check_collision_count(errors, new, old)
    return errors


def warnings(obj: Object) -> list[str]:
    found = workload_warnings(obj)
    for index, claim in enumerate(value_at(obj, "spec", "volumeClaimTemplates") or ()):
        found += claim_warnings(claim.get("spec") or {}, f"spec.volumeClaimTemplates[{index}]")
    return found + _history_warnings(obj)


def update_warnings(new: Object, old: Object) -> list[str]:
    found = workload_update_warnings(new, old)
    for index, claim in enumerate(value_at(new, "spec", "volumeClaimTemplates") or ()):
        found += claim_warnings(claim.get("spec") or {}, f"spec.volumeClaimTemplates[{index}].Spec")
    return found + _history_warnings(new)


def _history_warnings(obj: Object) -> list[str]:
    found = []
    if (value_at(obj, "spec", "revisionHistoryLimit") or 0) < 0:
        text = "a negative value retains all historical revisions; a value >= 0 is recommended"
        found.append(f"spec.revisionHistoryLimit: {text}")
    return found


KIND = Kind(
    resource=STATEFULSETS,
    definition="io.k8s.api.apps.v1.StatefulSet",
    singular="statefulset",
    short_names=("sts",),
    categories=("all",),
    subresources=(
        SCALE,
        STATUS,
    ),
    storage_prefix="statefulsets",
    has_status=True,
    counts_generation=True,
    default=default,
    columns=(
        NAME,
        computed("Ready", _ready, description="Number of the pod with ready state"),
        AGE,
        *containers("spec", "template"),
    ),
    name_errors=label_errors,
    prepare_create=prepare_create,
    validate=validate,
    validate_created=validate_created,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    warnings=warnings,
    update_warnings=update_warnings,
)
