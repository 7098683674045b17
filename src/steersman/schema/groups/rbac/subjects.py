"""Who a binding grants to, and which role: shared by RoleBinding and ClusterRoleBinding."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.schema.columns import AGE, NAME, computed
from steersman.schema.kind import Column

GROUP = "rbac.authorization.k8s.io"


def default_binding(obj: Object) -> None:
    role = obj.get("roleRef")
    if role is not None and not role.get("apiGroup"):
        role["apiGroup"] = GROUP
    for subject in obj.get("subjects") or ():
        if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = GROUP


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
