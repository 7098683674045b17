"""Who a binding grants to, and which role: shared by RoleBinding and ClusterRoleBinding."""

from __future__ import annotations

from steersman.meta.objects import Object

GROUP = "rbac.authorization.k8s.io"


def default_binding(obj: Object) -> None:
    role = obj.get("roleRef")
    if role is not None and not role.get("apiGroup"):
        role["apiGroup"] = GROUP
    for subject in obj.get("subjects") or ():
        if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
            subject["apiGroup"] = GROUP
