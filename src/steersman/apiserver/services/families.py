"""Address families of a Service: what ``ipFamilies`` and ``ipFamilyPolicy`` become when they are not said.

Source: "IPv4/IPv6 dual-stack" in the Kubernetes documentation and KEP-563.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from steersman.apiserver.services.networks import Family, family_of
from steersman.meta.errors import FieldError, Invalid, invalid
from steersman.meta.objects import Object
from steersman.schema.groups.core.serviceaddresses import check_addresses

_SINGLE, _PREFER, _REQUIRE = "SingleStack", "PreferDualStack", "RequireDualStack"
_OTHER: Mapping[Family, Family] = {"IPv4": "IPv6", "IPv6": "IPv4"}


def fill_families(obj: Object, spec: Object, old: Object | None, configured: Sequence[Family]) -> None:
    """Fill in policy and families; ``configured`` are those of the cluster, the default first. Raises ``Invalid``."""
    if spec.get("type") == "ExternalName":
        return
    malformed: list[FieldError] = []
    check_addresses(malformed, spec)
    _raise(obj, malformed)
    headless = spec.get("clusterIP") == "None"
    without_selector = headless and not spec.get("selector")
    policy = spec.get("ipFamilyPolicy")
    if not policy:
        policy = (old or {}).get("ipFamilyPolicy") or (_REQUIRE if without_selector else _SINGLE)
        spec["ipFamilyPolicy"] = policy
    addresses = list(spec.get("clusterIPs") or ())
    families: list[Family] = list(spec.get("ipFamilies") or ())
    errors: list[FieldError] = []
    if old is not None:
        errors += _released(spec, old, policy, addresses, families)
    if policy == _SINGLE:
        errors += _too_many(policy, addresses, families)
    for position, address in enumerate(addresses):
        if address == "None":
            break
        if position >= len(families):
            if family_of(address) in configured:
                families.append(family_of(address))
            else:
                detail = f"{family_of(address)} is not configured on this cluster"
                errors.append(invalid(f"spec.clusterIPs[{position}]", addresses, detail))
    if not without_selector:
        errors += _not_configured(policy, families, configured)
    _raise(obj, errors)
    if not families:
        families = [configured[0]]
    if len(families) == 1 and policy != _SINGLE and (without_selector or len(configured) == 2):
        families.append(_OTHER[families[0]])
    spec["ipFamilies"] = families
    if addresses:
        spec["clusterIPs"] = addresses


def _released(spec: Object, old: Object, policy: str, addresses: list[str], families: list[Family]) -> list[FieldError]:
    """A Service that goes back to one family gives up its second address; with another policy it may not."""
    old_addresses, old_families = old.get("clusterIPs") or [], old.get("ipFamilies") or []
    if policy == _SINGLE:
        if addresses == old_addresses:
            del addresses[1:]
        if families == old_families:
            del families[1:]
        return []
    errors: list[FieldError] = []
    if len(old_addresses) == 2 and len(addresses) == 1 and old_addresses[0] == addresses[0]:
        detail = "must be 'SingleStack' to release the secondary cluster IP"
        errors.append(invalid("spec.ipFamilyPolicy", policy, detail))
    if len(old_families) == 2 and len(families) == 1 and old_families[0] == families[0]:
        detail = "must be 'SingleStack' to release the secondary IP family"
        errors.append(invalid("spec.ipFamilyPolicy", policy, detail))
    return errors


def _too_many(policy: str, addresses: Sequence[str], families: Sequence[Family]) -> list[FieldError]:
    errors: list[FieldError] = []
    must = "must be 'RequireDualStack' or 'PreferDualStack' when multiple"
    if len(addresses) == 2:
        errors.append(invalid("spec.ipFamilyPolicy", policy, f"{must} cluster IPs are specified"))
    if len(families) == 2:
        errors.append(invalid("spec.ipFamilyPolicy", policy, f"{must} IP families are specified"))
    return errors


def _not_configured(policy: str, families: Sequence[Family], configured: Sequence[Family]) -> list[FieldError]:
    errors: list[FieldError] = []
    if policy == _REQUIRE and len(configured) < 2:
        detail = "this cluster is not configured for dual-stack services"
        errors.append(invalid("spec.ipFamilyPolicy", policy, detail))
    errors += [
        invalid(f"spec.ipFamilies[{position}]", family, "not configured on this cluster")
        for position, family in enumerate(families)
        if family not in configured
    ]
    return errors


def _raise(obj: Object, errors: list[FieldError]) -> None:
    if errors:
        raise Invalid.of("Service", "", obj["metadata"].get("name") or "", errors)
