"""ServiceCIDR: a range that Services get their addresses from."""

from __future__ import annotations

from steersman.meta.addresses import canonical_cidr_errors, ip_family
from steersman.meta.errors import FieldError, invalid, required
from steersman.meta.objects import Object
from steersman.meta.resources import SERVICECIDRS
from steersman.schema.columns import AGE, NAME, computed, value_at
from steersman.schema.kind import Kind
from steersman.schema.rules import IMMUTABLE, check_name
from steersman.schema.statuswrites import keep_metadata
from steersman.schema.subresources import STATUS


def default(obj: Object) -> None:
    if obj.get("status") is None:
        obj["status"] = {}


def prepare_create(obj: Object) -> None:
    obj["status"] = {}


def validate(obj: Object) -> list[FieldError]:
    cidrs, path = value_at(obj, "spec", "cidrs") or [], "spec.cidrs"
    if not cidrs:
        return [required(path, "at least one CIDR required")]
    if len(cidrs) > 2:
        return [invalid(path, obj["spec"], "may only hold up to 2 values")]
    errors: list[FieldError] = []
    for index, cidr in enumerate(cidrs):
        check_name(errors, cidr, f"{path}[{index}]", canonical_cidr_errors)
    families = [ip_family(cidr) for cidr in cidrs]
    if len(cidrs) == 2 and families[0] and families[0] == families[1]:
        detail = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
        errors.append(invalid(path, cidrs, detail))
    return errors


def validate_update(new: Object, old: Object) -> list[FieldError]:
    """A second range may be added; nothing else changes."""
    now, before = value_at(new, "spec", "cidrs") or [], value_at(old, "spec", "cidrs") or []
    if len(now) != len(before) and (len(before), len(now)) != (1, 2):
        return [invalid("spec.cidrs", now, IMMUTABLE)]
    pairs = enumerate(zip(now, before, strict=False))
    return [invalid(f"spec.cidrs[{index}]", cidr, IMMUTABLE) for index, (cidr, was) in pairs if cidr != was]


KIND = Kind(
    resource=SERVICECIDRS,
    definition="io.k8s.api.networking.v1.ServiceCIDR",
    singular="servicecidr",
    subresources=(STATUS,),
    storage_prefix="servicecidrs",
    has_status=True,
    default=default,
    columns=(
        NAME,
        computed(
            "CIDRs",
            lambda obj, now: ",".join(value_at(obj, "spec", "cidrs") or ()),
            documented_by="io.k8s.api.networking.v1.ServiceCIDRSpec/cidrs",
        ),
        AGE,
    ),
    prepare_create=prepare_create,
    validate=validate,
    validate_update=validate_update,
    prepare_status_update=keep_metadata,
)
