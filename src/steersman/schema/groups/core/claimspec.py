"""The specification of a volume claim, as in PersistentVolumeClaims, StatefulSets and ephemeral volumes."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.schema.groups.core.resourcelist import default_requirements


def default_claim_spec(spec: Object) -> None:
    if not spec.get("volumeMode"):
        spec["volumeMode"] = "Filesystem"
    if spec.get("resources") is None:
        spec["resources"] = {}
    else:
        default_requirements(spec["resources"])


def default_claim_template(claim: Object) -> None:
    """A claim inside a StatefulSet, which carries a whole object."""
    claim.setdefault("apiVersion", "v1")
    claim.setdefault("kind", "PersistentVolumeClaim")
    default_claim_spec(claim.setdefault("spec", {}))
    status = claim.get("status") or {}
    if not status.get("phase"):
        claim["status"] = {**status, "phase": "Pending"}
