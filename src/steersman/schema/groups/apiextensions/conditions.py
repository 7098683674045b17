"""What the server says about a definition: which of its names are accepted, whether it is served, why it is not.

Pure: definitions and the time go in, a definition comes out. Source: upstream's controllers of apiextensions-apiserver
(status, establish, nonstructuralschema, apiapproval).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from steersman.meta import times
from steersman.meta.objects import Object, condition, is_true, with_metadata
from steersman.meta.objects import annotations as annotations_of
from steersman.schema.groups.apiextensions.structural import structural_errors

CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_APPROVAL = "api-approved.kubernetes.io"
_APPROVAL_POLICY = "KubernetesAPIApprovalPolicyConformant"


def with_condition(crd: Object, kind: str, status: str, reason: str, message: str, now_s: float) -> Object:
    """``crd`` with a condition; the time changes with the status only."""
    conditions: list[Object] = list((crd.get("status") or {}).get("conditions") or ())
    old = condition(crd, kind)
    time = times.format_time(now_s)
    if old is not None and old.get("status") == status and old.get("lastTransitionTime"):
        time = old["lastTransitionTime"]
    new = {"lastTransitionTime": time, "message": message, "reason": reason, "status": status, "type": kind}
    if old == new:
        return crd
    if old is None:
        conditions.append(new)
    else:
        conditions = [new if entry is old else entry for entry in conditions]
    return _with_status(crd, conditions=conditions)


def _with_status(crd: Object, **changes: Any) -> Object:
    return {**crd, "status": {**(crd.get("status") or {}), **changes}}


def reconciled(crd: Object, others: Iterable[Object], now_s: float) -> Object:
    """``crd`` with the conditions it should have; itself where it has them. ``others`` are all other definitions."""
    crd = _with_names(crd, others, now_s)
    if is_true(crd, "NamesAccepted") and not is_true(crd, "Established"):
        message = "the initial names have been accepted"
        crd = with_condition(crd, "Established", "True", "InitialNamesAccepted", message, now_s)
    crd = _with_structure(crd, now_s)
    return _with_approval(crd, now_s)


def is_servable(crd: Object) -> bool:
    """Names were accepted, now or once."""
    return is_true(crd, "NamesAccepted") or is_true(crd, "Established")


def _with_names(crd: Object, others: Iterable[Object], now_s: float) -> Object:
    """Names that other definitions of the group hold are not accepted; those that are remain so."""
    wanted: Mapping[str, Any] = crd["spec"]["names"]
    accepted: Mapping[str, Any] = (crd.get("status") or {}).get("acceptedNames") or {}
    if wanted == accepted and condition(crd, "NamesAccepted") is not None:
        return crd
    resources, kinds = _taken(crd, others)
    new = dict(accepted)
    reason = message = ""
    for field, taken in (("plural", resources), ("singular", resources)):
        if _is_free(wanted.get(field), accepted.get(field), taken):
            new[field] = wanted.get(field)
        else:
            reason, message = f"{field.capitalize()}Conflict", f'"{wanted[field]}" is already in use'
    own_short = set(accepted.get("shortNames") or ())
    clashes = [name for name in wanted.get("shortNames") or () if name not in own_short and name in resources]
    if clashes:
        texts = [f'"{name}" is already in use' for name in clashes]
        reason, message = "ShortNamesConflict", texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    else:
        new["shortNames"] = wanted.get("shortNames")
    for field, name in (("kind", "Kind"), ("listKind", "ListKind")):
        if _is_free(wanted.get(field), accepted.get(field), kinds):
            new[field] = wanted.get(field)
        else:
            reason, message = f"{name}Conflict", f'"{wanted[field]}" is already in use'
    new["categories"] = wanted.get("categories")
    named = {field: value for field, value in new.items() if value or field in ("plural", "kind")}
    if named != accepted:
        crd = _with_status(crd, acceptedNames=named)
    if reason:
        crd = with_condition(crd, "NamesAccepted", "False", reason, message, now_s)
        if condition(crd, "Established") is None:
            return with_condition(crd, "Established", "False", "NotAccepted", "not all names are accepted", now_s)
        return crd
    return with_condition(crd, "NamesAccepted", "True", "NoConflicts", "no conflicts found", now_s)


def _is_free(wanted: Any, accepted: Any, taken: set[str]) -> bool:
    return wanted == accepted or wanted not in taken


def _taken(crd: Object, others: Iterable[Object]) -> tuple[set[str], set[str]]:
    """(resource names, kinds) that the group's definitions hold; its own are held by itself."""
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        if other["spec"]["group"] != crd["spec"]["group"] or other["metadata"]["name"] == crd["metadata"]["name"]:
            continue
        names = (other.get("status") or {}).get("acceptedNames") or {}
        resources.update(filter(None, (names.get("plural"), names.get("singular"), *(names.get("shortNames") or ()))))
        kinds.update(filter(None, (names.get("kind"), names.get("listKind"))))
    return resources, kinds


def _with_structure(crd: Object, now_s: float) -> Object:
    """Definitions that older servers stored may have schemas that are not structural."""
    errors = []
    if crd["spec"].get("preserveUnknownFields"):
        errors.append("spec.preserveUnknownFields: Invalid value: true: must be false")
    for index, version in enumerate(crd["spec"]["versions"]):
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is not None:
            path = f"spec.versions[{index}].schema.openAPIV3Schema"
            errors.extend(str(error) for error in structural_errors(schema, path))
    if errors:
        message = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
        return with_condition(crd, "NonStructuralSchema", "True", "Violations", message, now_s)
    return _without_condition(crd, "NonStructuralSchema")


def _without_condition(crd: Object, kind: str) -> Object:
    old = condition(crd, kind)
    if old is None:
        return crd
    return _with_status(crd, conditions=[entry for entry in crd["status"]["conditions"] if entry is not old])


def _with_approval(crd: Object, now_s: float) -> Object:
    """Groups of the community's own carry the address of their approval."""
    if not f".{crd['spec']['group']}".endswith((".k8s.io", ".kubernetes.io")):
        return crd
    value = annotations_of(crd).get(_APPROVAL) or ""
    intro = f'protected groups must have approval annotation "{_APPROVAL}"'
    policy = "see https://github.com/kubernetes/enhancements/pull/1111"
    if not value:
        return with_condition(crd, _APPROVAL_POLICY, "False", "MissingAnnotation", f"{intro}, {policy}", now_s)
    if value.startswith("unapproved"):
        message = f'not approved: "{value}"'
        return with_condition(crd, _APPROVAL_POLICY, "False", "UnapprovedAnnotation", message, now_s)
    try:
        parts = urlsplit(value)
        is_url = bool(parts.scheme and parts.netloc)
    except ValueError:
        is_url = False
    if is_url:
        message = f"approved in {value}"
        return with_condition(crd, _APPROVAL_POLICY, "True", "ApprovedAnnotation", message, now_s)
    message = f'{intro} with either a URL or a reason starting with "unapproved", {policy}'
    return with_condition(crd, _APPROVAL_POLICY, "False", "InvalidAnnotation", message, now_s)


def deletion_begun(crd: Object, now_s: float) -> Object:
    """A definition that is being deleted waits for its instances."""
    finalizers = list(crd["metadata"].get("finalizers") or ())
    if CLEANUP_FINALIZER not in finalizers:
        crd = with_metadata(crd, finalizers=[*finalizers, CLEANUP_FINALIZER])
    message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    return with_condition(crd, "Terminating", "True", "InstanceDeletionPending", message, now_s)


def is_cleaning_up(crd: Object) -> bool:
    """It is being deleted and this server's part of that is not done."""
    metadata = crd["metadata"]
    return bool(metadata.get("deletionTimestamp")) and CLEANUP_FINALIZER in (metadata.get("finalizers") or ())


def cleaned_up(crd: Object, reason: str, message: str, now_s: float) -> Object:
    """No instance is left."""
    crd = with_condition(crd, "Terminating", "False", reason, message, now_s)
    kept = [name for name in crd["metadata"]["finalizers"] if name != CLEANUP_FINALIZER]
    return with_metadata(crd, finalizers=kept or None)
