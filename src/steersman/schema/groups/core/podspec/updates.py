"""What may change in a pod that exists: images, deadlines, added tolerations, lifted gates; through subresources also ephemeral
containers and the size of containers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta.errors import FieldError, forbidden, invalid
from steersman.meta.objects import Object
from steersman.meta.objects import annotations as annotations_of
from steersman.schema.equality import same
from steersman.schema.groups.core.podspec.placement import check_tolerations
from steersman.schema.groups.core.podspec.qos import qos_class
from steersman.schema.groups.core.podspec.specification import MIRROR_ANNOTATION
from steersman.schema.rules import Errors, check_between

_LONGEST_DEADLINE_S = 2**31 - 1
_UPDATABLE = (
    "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions "
    "to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def differences(new: Any, old: Any, path: str = "") -> list[str]:
    """Lines that show what changed: ``- path: old`` and ``+ path: new``."""
    if same(new, old):
        return []
    if isinstance(new, Mapping) and isinstance(old, Mapping):
        fields = sorted(new.keys() | old.keys())
        return [
            line
            for name in fields
            if not same(new.get(name), old.get(name), name)
            for line in differences(new.get(name), old.get(name), f"{path}.{name}" if path else name)
        ]
    if isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        return [
            line
            for index, pair in enumerate(zip(new, old, strict=True))
            for line in differences(*pair, f"{path}[{index}]")
        ]
    return [f"- {path}: {old!r}", f"+ {path}: {new!r}"]


def pod_update_errors(new: Object, old: Object) -> list[FieldError]:
    """On top of the rules of every pod."""
    errors: Errors = []
    check_annotation_update(errors, new, old)
    new_spec, old_spec = new.get("spec") or {}, old.get("spec") or {}
    for group in ("containers", "initContainers"):
        if len(new_spec.get(group) or ()) != len(old_spec.get(group) or ()):
            errors.append(forbidden(f"spec.{group}", "pod updates may not add or remove containers"))
            return errors
    if not _check_deadline(errors, new_spec, old_spec):
        return errors
    _check_added_tolerations(errors, new_spec.get("tolerations") or (), old_spec.get("tolerations") or ())
    _check_lifted_gates(errors, new_spec.get("schedulingGates") or (), old_spec.get("schedulingGates") or ())
    if same(new_spec, old_spec):
        return errors
    rest = _without_updatable(new_spec, old_spec)
    if old_spec.get("schedulingGates"):
        rest = _without_gated_changes(errors, rest, old_spec)
    if not same(rest, old_spec):
        shown = "\n".join(differences(rest, old_spec))
        errors.append(forbidden("spec", f"pod updates may not change fields other than {_UPDATABLE}\n{shown}\n"))
    return errors


def check_annotation_update(errors: Errors, new: Object, old: Object) -> None:
    """Annotations that say what a pod is, which stay as they were."""
    have, had = annotations_of(new), annotations_of(old)
    for key in sorted(have.keys() | had.keys()):
        if have.get(key) == had.get(key):
            continue
        is_apparmor = key.startswith("container.apparmor.security.beta.kubernetes.io/")
        if not is_apparmor and key != MIRROR_ANNOTATION:
            continue
        what = "AppArmor annotations" if is_apparmor else "mirror pod annotation"
        verb = "remove or update" if key in had else "add"
        errors.append(forbidden(f"metadata.annotations[{key}]", f"may not {verb} {what}"))


def _check_deadline(errors: Errors, new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    path = "spec.activeDeadlineSeconds"
    wanted, had = new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    if wanted is not None:
        before = len(errors)
        check_between(errors, wanted, path, 0, _LONGEST_DEADLINE_S)
        if len(errors) == before and had is not None and had < wanted:
            errors.append(invalid(path, wanted, "must be less than or equal to previous value"))
        return len(errors) == before
    if had is not None:
        errors.append(invalid(path, None, "must not update from a positive integer to nil value"))
    return True


def _check_added_tolerations(errors: Errors, new: Sequence[Object], old: Sequence[Object]) -> None:
    def identity(toleration: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(toleration.get(name) or "" for name in ("key", "operator", "value", "effect"))

    wanted = {identity(toleration) for toleration in new}
    if any(identity(toleration) not in wanted for toleration in old):
        detail = "existing toleration can not be modified except its tolerationSeconds"
        errors.append(forbidden("spec.tolerations", detail))
    elif new is not old:
        check_tolerations(errors, new, "spec.tolerations")


def _check_lifted_gates(errors: Errors, new: Sequence[Object], old: Sequence[Object]) -> None:
    known = {gate.get("name") for gate in old}
    for index, gate in enumerate(new):
        if gate.get("name") not in known:
            detail = f"only deletion is allowed, but found new scheduling gate '{gate.get('name')}'"
            errors.append(forbidden(f"spec.schedulingGates[{index}].name", detail))


def _without_updatable(new: Object, old: Object) -> Object:
    """The new specification with the old values of what may change."""
    rest = dict(new)
    for group in ("containers", "initContainers"):
        if new.get(group):
            rest[group] = [
                {**container, "image": before.get("image")}
                for container, before in zip(new[group], old[group], strict=True)
            ]
    for name in ("activeDeadlineSeconds", "schedulingGates", "tolerations"):
        rest[name] = old.get(name)
    had_s = old.get("terminationGracePeriodSeconds")
    if had_s is not None and had_s < 0 and new.get("terminationGracePeriodSeconds") == 1:
        rest["terminationGracePeriodSeconds"] = had_s
    return rest


def _without_gated_changes(errors: Errors, rest: Object, old: Object) -> Object:
    """While gates hold a pod back, its node selector and node affinity may be narrowed."""
    wanted, had = rest.get("nodeSelector") or {}, old.get("nodeSelector") or {}
    if wanted != had:
        for key, value in had.items():
            if wanted.get(key) != value:
                detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
                errors.append(invalid("spec.nodeSelector", dict(wanted), detail))
                break
        rest = {**rest, "nodeSelector": old.get("nodeSelector")}
    affinity, old_affinity = rest.get("affinity") or {}, old.get("affinity") or {}
    if same(affinity.get("nodeAffinity"), old_affinity.get("nodeAffinity")):
        return rest
    _check_narrowed(errors, affinity.get("nodeAffinity") or {}, old_affinity.get("nodeAffinity") or {})
    return {**rest, "affinity": {**affinity, "nodeAffinity": old_affinity.get("nodeAffinity")}}


def _check_narrowed(errors: Errors, new: Mapping[str, Any], old: Mapping[str, Any]) -> None:
    path = f"spec.affinity.nodeAffinity.{_REQUIRED}.nodeSelectorTerms"
    before = (old.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()
    if not before:
        return
    terms = (new.get(_REQUIRED) or {}).get("nodeSelectorTerms") or ()
    if len(terms) != len(before):
        errors.append(
            invalid(path, list(terms), "no additions/deletions to non-empty NodeSelectorTerms list are allowed")
        )
        return
    for index, (term, was) in enumerate(zip(terms, before, strict=True)):
        if not _adds_only(term, was):
            detail = "only additions are allowed (no mutations or deletions)"
            errors.append(invalid(f"{path}[{index}]", dict(term), detail))


def _adds_only(new: Mapping[str, Any], old: Mapping[str, Any]) -> bool:
    """An empty term matches nothing and stays empty."""
    fields = ("matchExpressions", "matchFields")
    if not any(old.get(name) for name in fields):
        return not any(new.get(name) for name in fields)
    return all(same((new.get(name) or [])[: len(old.get(name) or ())], old.get(name) or []) for name in fields)


def ephemeral_containers_errors(new: Object, old: Object) -> list[FieldError]:
    """A write through ``ephemeralcontainers``: only additions."""
    if MIRROR_ANNOTATION in annotations_of(old):
        return [forbidden("", "static pods do not support ephemeral containers")]
    errors: Errors = []
    path = "spec.ephemeralContainers"
    by_name = {entry.get("name"): entry for entry in (new.get("spec") or {}).get("ephemeralContainers") or ()}
    for before in (old.get("spec") or {}).get("ephemeralContainers") or ():
        name = before.get("name")
        if name not in by_name:
            errors.append(forbidden(path, f'existing ephemeral containers "{name}" may not be removed\n'))
        elif not same(by_name[name], before):
            shown = "\n".join(differences(by_name[name], before))
            errors.append(forbidden(path, f'existing ephemeral containers "{name}" may not be changed\n{shown}\n'))
    return errors


def resize_errors(new: Object, old: Object) -> list[FieldError]:
    """A write through ``resize`` (KEP-1287): only CPU and memory, and never out of the quality of service."""
    if MIRROR_ANNOTATION in annotations_of(old):
        return [forbidden("", "static pods cannot be resized")]
    new_spec, old_spec = new.get("spec") or {}, old.get("spec") or {}
    if (old_spec.get("os") or {}).get("name") == "windows":
        return [forbidden("", "windows pods cannot be resized")]
    errors: Errors = []
    was = (old.get("status") or {}).get("qosClass") or qos_class(old)
    if was != qos_class(new):
        detail = "Pod QOS Class may not change as a result of resizing"
        errors.append(invalid("spec", (new.get("status") or {}).get("qosClass") or "", detail))
    if not _reports_resources(old):
        errors.append(forbidden("spec", "Pod running on node without support for resize"))
    rest = dict(new_spec)
    _check_pod_level_resize(errors, rest, old_spec)
    for group in ("containers", "initContainers"):
        if not _check_order(errors, new_spec.get(group) or (), old_spec.get(group) or (), group):
            return errors
    for group in ("initContainers", "containers"):
        pairs = list(zip(new_spec.get(group) or (), old_spec.get(group) or (), strict=True))
        if pairs:
            rest[group] = [
                _check_resized(errors, *pair, f"spec.{group}[{index}]", group) for index, pair in enumerate(pairs)
            ]
    if not errors and not same(rest, old_spec):
        errors.append(forbidden("spec", "only cpu and memory resources are mutable"))
    return errors


def _reports_resources(pod: Object) -> bool:
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        if (status.get("state") or {}).get("running") is not None:
            return status.get("resources") is not None
    return True


def _check_order(errors: Errors, new: Sequence[Object], old: Sequence[Object], group: str) -> bool:
    if len(new) != len(old):
        errors.append(forbidden(f"spec.{group}", f"{group} may not be added or removed on resize"))
        return False
    before = len(errors)
    errors.extend(
        forbidden(f"spec.{group}[{index}].name", f"{group} may not be renamed or reordered on resize")
        for index, (entry, was) in enumerate(zip(new, old, strict=True))
        if entry.get("name") != was.get("name")
    )
    return len(errors) == before


def _check_resized(errors: Errors, new: Object, old: Object, path: str, group: str) -> Object:
    """The container with the old CPU and memory."""
    have, had = new.get("resources") or {}, old.get("resources") or {}
    for part in ("requests", "limits"):
        if (had.get(part) or {}).keys() - (have.get(part) or {}).keys():
            errors.append(forbidden(f"{path}.resources.{part}", f"resource {part} cannot be removed"))
    rest = {**new, "resources": _with_old_compute(have, had)}
    if not same(rest, old):
        if group == "containers":
            errors.append(forbidden("spec", "only cpu and memory resources are mutable"))
        else:
            errors.append(forbidden(path, "only cpu and memory resources for init or sidecar containers are mutable"))
    if group == "initContainers" and new.get("restartPolicy") != "Always" and not same(new, old):
        restarts = any(entry.get("restartPolicy") == "RestartContainer" for entry in new.get("resizePolicy") or ())
        if restarts:
            detail = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"
            errors.append(forbidden(path, detail))
    return old if same(rest, old) else rest


def _with_old_compute(new: Mapping[str, Any], old: Mapping[str, Any]) -> Object:
    merged: Object = dict(new)
    for part in ("requests", "limits"):
        amounts = {name: value for name, value in (new.get(part) or {}).items() if name not in ("cpu", "memory")}
        amounts |= {name: value for name, value in (old.get(part) or {}).items() if name in ("cpu", "memory")}
        merged[part] = amounts
    return merged


def _check_pod_level_resize(errors: Errors, rest: Object, old: Object) -> None:
    have, had = rest.get("resources"), old.get("resources")
    if not have and not had:
        return
    if had and not have:
        errors.append(forbidden("spec.resources", "pod-level resources cannot be removed"))
        return
    for part in ("requests", "limits"):
        if ((had or {}).get(part) or {}).keys() - ((have or {}).get(part) or {}).keys():
            errors.append(forbidden(f"spec.resources.{part}", f"pod-level resource {part} cannot be removed"))
    kept = _with_old_compute(have or {}, had or {})
    rest["resources"] = had if same(kept, had or {}) else kept
    if not same(kept, had or {}):
        errors.append(forbidden("spec", "only cpu and memory resources are mutable at pod-level"))
