"""IPAddress: an address in use by a Service."""

from __future__ import annotations

from steersman.meta.addresses import canonical_ip_errors
from steersman.meta.errors import FieldError, required
from steersman.meta.names import path_segment_errors, subdomain_errors
from steersman.meta.objects import Object
from steersman.meta.resources import IPADDRESSES
from steersman.schema.cells import NONE
from steersman.schema.columns import NAME, computed, value_at
from steersman.schema.kind import Kind
from steersman.schema.rules import check_immutable, check_name, check_required_name


def _parent(obj: Object, now: float) -> str:
    parent = value_at(obj, "spec", "parentRef")
    if parent is None:
        return NONE
    resource = (
        f"{parent.get('resource') or ''}.{parent['group']}" if parent.get("group") else parent.get("resource") or ""
    )
    space = f"/{parent['namespace']}" if parent.get("namespace") else ""
    return f"{resource.lower()}{space}/{parent.get('name') or ''}"


def validate(obj: Object) -> list[FieldError]:
    parent, path = value_at(obj, "spec", "parentRef"), "spec.parentRef"
    if parent is None:
        return [required(path)]
    errors: list[FieldError] = []
    if parent.get("group"):
        check_name(errors, parent["group"], f"{path}.group", subdomain_errors)
    check_required_name(errors, parent.get("resource"), f"{path}.resource", path_segment_errors)
    check_required_name(errors, parent.get("name"), f"{path}.name", path_segment_errors)
    if parent.get("namespace"):
        check_name(errors, parent["namespace"], f"{path}.namespace", path_segment_errors)
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    check_immutable(errors, value_at(new, "spec", "parentRef"), value_at(old, "spec", "parentRef"), "spec.parentRef")
    return errors


KIND = Kind(
    resource=IPADDRESSES,
    definition="io.k8s.api.networking.v1.IPAddress",
    singular="ipaddress",
    short_names=("ip",),
    storage_prefix="ipaddresses",
    columns=(
        NAME,
        computed("ParentRef", _parent, documented_by="io.k8s.api.networking.v1.IPAddressSpec/parentRef"),
    ),
    name_errors=canonical_ip_errors,
    validate=validate,
    validate_update=validate_update,
)
