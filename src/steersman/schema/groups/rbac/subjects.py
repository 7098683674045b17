"""Who a binding grants to, and which role: shared by RoleBinding and ClusterRoleBinding."""

from __future__ import annotations

from collections.abc import Sequence

from steersman.meta.errors import FieldError, invalid, not_supported, required
from steersman.meta.names import path_segment_errors, subdomain_errors
from steersman.meta.objects import Object
from steersman.schema.columns import AGE, NAME, computed
from steersman.schema.equality import same
from steersman.schema.kind import Column
from steersman.schema.rules import check_name, check_required_name

GROUP = "rbac.authorization.k8s.io"
SUBJECT_KINDS = ("ServiceAccount", "User", "Group")


def default_binding(obj: Object) -> None:
    role = obj.setdefault("roleRef", {})
    for name, value in (("apiGroup", GROUP), ("kind", ""), ("name", "")):
        if not role.get(name):
            role[name] = value
    for subject in obj.get("subjects") or ():
        if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = GROUP


def binding_errors(obj: Object, role_kinds: Sequence[str], *, is_namespaced: bool) -> list[FieldError]:
    errors: list[FieldError] = []
    role = obj.get("roleRef") or {}
    if role.get("apiGroup") != GROUP:
        errors.append(not_supported("roleRef.apiGroup", role.get("apiGroup") or "", (GROUP,)))
    if role.get("kind") not in role_kinds:
        errors.append(not_supported("roleRef.kind", role.get("kind") or "", role_kinds))
    check_required_name(errors, role.get("name"), "roleRef.name", path_segment_errors)
    for index, subject in enumerate(obj.get("subjects") or ()):
        _check_subject(errors, subject, f"subjects[{index}]", is_namespaced=is_namespaced)
    return errors


def _check_subject(errors: list[FieldError], subject: Object, path: str, *, is_namespaced: bool) -> None:
    name, group = subject.get("name"), subject.get("apiGroup") or ""
    if not name:
        errors.append(required(f"{path}.name"))
    match subject.get("kind"):
        case "ServiceAccount":
            if name:
                check_name(errors, name, f"{path}.name", subdomain_errors)
            if group:
                errors.append(not_supported(f"{path}.apiGroup", group, ("",)))
            if not is_namespaced and not subject.get("namespace"):
                errors.append(required(f"{path}.namespace"))
        case "User" | "Group":
            if group != GROUP:
                errors.append(not_supported(f"{path}.apiGroup", group, (GROUP,)))
        case other:
            errors.append(not_supported(f"{path}.kind", other or "", SUBJECT_KINDS))


def binding_update_errors(new: Object, old: Object) -> list[FieldError]:
    if same(new.get("roleRef"), old.get("roleRef")):
        return []
    role = new.get("roleRef") or {}
    shown = {name: role.get(name[:1].lower() + name[1:]) or "" for name in ("Kind", "Name")}
    return [invalid("roleRef", {"APIGroup": role.get("apiGroup") or "", **shown}, "cannot change roleRef")]


def _role(obj: Object, now: float) -> str:
    role = obj.get("roleRef") or {}
    return f"{role.get('kind') or ''}/{role.get('name') or ''}"


def _subjects(obj: Object, kind: str) -> str:
    found = [subject for subject in obj.get("subjects") or () if subject.get("kind") == kind]
    if kind == "ServiceAccount":
        return ", ".join(f"{subject.get('namespace') or ''}/{subject.get('name') or ''}" for subject in found)
    return ", ".join(str(subject.get("name") or "") for subject in found)


def binding_columns(kind: str) -> tuple[Column, ...]:
    """Columns of ``RoleBinding`` or ``ClusterRoleBinding``."""
    where = kind[0].lower() + kind[1:]
    return (
        NAME,
        computed("Role", _role, documented_by=f"io.k8s.api.rbac.v1.{kind}/roleRef"),
        AGE,
        computed("Users", lambda obj, now: _subjects(obj, "User"), priority=1, description=f"Users in the {where}"),
        computed("Groups", lambda obj, now: _subjects(obj, "Group"), priority=1, description=f"Groups in the {where}"),
        computed(
            "ServiceAccounts",
            lambda obj, now: _subjects(obj, "ServiceAccount"),
            priority=1,
            description=f"ServiceAccounts in the {where}",
        ),
    )
