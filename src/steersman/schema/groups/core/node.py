"""Node: a machine that pods run on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from steersman.meta.addresses import cidr_errors, cidr_warnings, ip_family
from steersman.meta.errors import FieldError, duplicate, forbidden, invalid
from steersman.meta.names import label_key_errors, label_value_errors
from steersman.meta.objects import Object, condition, labels
from steersman.meta.resources import NODES
from steersman.schema import goforms
from steersman.schema.cells import NONE, UNKNOWN
from steersman.schema.columns import AGE, NAME, computed, text, value_at
from steersman.schema.groups.core.podspec.placement import TAINT_EFFECTS
from steersman.schema.groups.core.resourcelist import default_amounts
from steersman.schema.groups.core.resourcenames import check_amount
from steersman.schema.kind import Kind
from steersman.schema.rules import check_choice, check_name
from steersman.schema.selectable import flag_at
from steersman.schema.subresources import STATUS, proxy

_ROLE_PREFIX = "node-role.kubernetes.io/"
NODE_INFO_FIELDS = (
    "architecture",
    "bootID",
    "containerRuntimeVersion",
    "kernelVersion",
    "kubeProxyVersion",
    "kubeletVersion",
    "machineID",
    "operatingSystem",
    "osImage",
    "systemUUID",
)


def default(obj: Object) -> None:
    spec = obj.get("spec")
    if spec is None:
        spec = obj["spec"] = {}
    if spec.get("podCIDR") and not spec.get("podCIDRs"):
        spec["podCIDRs"] = [spec["podCIDR"]]
    elif spec.get("podCIDRs") and not spec.get("podCIDR"):
        spec["podCIDR"] = spec["podCIDRs"][0]
    status = obj.get("status")
    if status is None:
        status = obj["status"] = {}
    capacity = status.get("capacity")
    if capacity:
        default_amounts(capacity)
    if status.get("allocatable"):
        default_amounts(status["allocatable"])
    elif capacity and status.get("allocatable") is None:
        status["allocatable"] = dict(capacity)
    if not status.get("daemonEndpoints"):
        status["daemonEndpoints"] = {"kubeletEndpoint": {"Port": 0}}
    if status.get("nodeInfo") is None:
        status["nodeInfo"] = dict.fromkeys(NODE_INFO_FIELDS, "")


def _status(obj: Object, now: float) -> str:
    ready = condition(obj, "Ready")
    words = ["Unknown"] if ready is None else ["Ready" if ready.get("status") == "True" else "NotReady"]
    if value_at(obj, "spec", "unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def _roles(obj: Object, now: float) -> str:
    roles = set()
    for key, value in labels(obj).items():
        if key.startswith(_ROLE_PREFIX):
            roles.add(key.removeprefix(_ROLE_PREFIX))
        elif key == "kubernetes.io/role":
            roles.add(value)
    return ",".join(sorted(roles - {""})) or NONE


def _address(kind: str) -> Callable[[Object, float], str]:
    def cell(obj: Object, now: float) -> str:
        entries = value_at(obj, "status", "addresses") or ()
        return next((str(entry["address"]) for entry in entries if entry.get("type") == kind), NONE)

    return cell


def _kernel(obj: Object, now: float) -> str:
    info = value_at(obj, "status", "nodeInfo") or {}
    version = info.get("kernelVersion") or UNKNOWN
    return f"{version} ({info['architecture']})" if info.get("architecture") else version


_FEATURE = re.compile(r"[A-Z][a-zA-Z0-9]*(/[a-zA-Z][a-zA-Z0-9]*)*", re.ASCII)


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    _check_taints(errors, spec.get("taints") or (), "metadata.taints")
    for part in ("capacity", "allocatable"):
        for name, amount in (status.get(part) or {}).items():
            check_amount(errors, name, amount, f"status.{part}.{name}")
    _check_features(errors, status.get("declaredFeatures") or (), "status.declaredFeatures")
    ranges = spec.get("podCIDRs") or []
    for index, cidr in enumerate(ranges):
        check_name(errors, cidr, f"spec.podCIDRs[{index}]", cidr_errors)
    if len(ranges) > 1 and (len(ranges) > 2 or len({ip_family(cidr) for cidr in ranges}) != 2):
        errors.append(invalid("spec.podCIDRs", ranges, "may specify no more than one CIDR for each IP family"))
    return errors


def _check_taints(errors: list[FieldError], taints: Sequence[Mapping[str, Any]], path: str) -> None:
    seen: set[tuple[Any, Any]] = set()
    for index, taint in enumerate(taints):
        at, key, effect = f"{path}[{index}]", taint.get("key") or "", taint.get("effect") or ""
        check_name(errors, key, f"{at}.key", label_key_errors)
        wrong = label_value_errors(taint.get("value") or "")
        if wrong:
            errors.append(invalid(f"{at}.value", taint["value"], ";".join(wrong)))
        check_choice(errors, effect, f"{at}.effect", TAINT_EFFECTS)
        if (key, effect) in seen:
            detail = "taints must be unique by key and effect pair"
            errors.append(FieldError("FieldValueDuplicate", at, detail, goforms.internal("core.v1.Taint", taint)))
        seen.add((key, effect))


def _check_features(errors: list[FieldError], features: Sequence[str], path: str) -> None:
    for index, feature in enumerate(features):
        if len(feature) > 253:
            detail = f'invalid feature name "{feature}": must be no more than 253 characters'
            errors.append(invalid(f"{path}[{index}]", feature, detail))
        elif _FEATURE.fullmatch(feature) is None:
            detail = (
                f'invalid feature name "{feature}": must start with an UpperCamelCase segment, with subsequent segments separated '
                "by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes"
            )
            errors.append(invalid(f"{path}[{index}]", feature, detail))
        if index and feature == features[index - 1]:
            errors.append(duplicate(f"{path}[{index}]", feature))
        elif index and feature < features[index - 1]:
            errors.append(invalid(f"{path}[{index}]", feature, "list must be sorted alphabetically"))


def validate_update(new: Object, old: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    addresses = value_at(new, "status", "addresses") or []
    errors.extend(
        duplicate(f"status.addresses[{index}]", address)
        for index, address in enumerate(addresses)
        if address in addresses[:index]
    )
    if before.get("podCIDRs") and before["podCIDRs"] != spec.get("podCIDRs"):
        errors.append(forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid'))
    if before.get("providerID") and before["providerID"] != spec.get("providerID"):
        errors.append(forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid'))
    if (before.get("externalID") or "") != (spec.get("externalID") or ""):
        errors.append(forbidden("spec.externalID", "may not be updated"))
    return errors


def validate_status_update(new: Object, old: Object) -> list[FieldError]:
    return validate(new) + validate_update(new, old)


_WARNINGS = (
    ("configSource", "spec.configSource: the feature is removed"),
    ("externalID", "spec.externalID: this field is deprecated, and is unused by Kubernetes"),
)


def warnings(obj: Object) -> list[str]:
    found = [warning for field, warning in _WARNINGS if value_at(obj, "spec", field)]
    for index, cidr in enumerate(value_at(obj, "spec", "podCIDRs") or ()):
        found += cidr_warnings(f"spec.podCIDRs[{index}]", cidr)
    return found


KIND = Kind(
    resource=NODES,
    definition="io.k8s.api.core.v1.Node",
    singular="node",
    short_names=("no",),
    subresources=(
        proxy("NodeProxyOptions"),
        STATUS,
    ),
    storage_prefix="minions",
    selectable_fields={"spec.unschedulable": flag_at("spec", "unschedulable")},
    has_status=True,
    keeps_status_on_create=True,
    default=default,
    columns=(
        NAME,
        computed("Status", _status, description="The status of the node"),
        computed("Roles", _roles, description="The roles of the node"),
        AGE,
        text(
            "Version",
            "status",
            "nodeInfo",
            "kubeletVersion",
            documented_by="io.k8s.api.core.v1.NodeSystemInfo/kubeletVersion",
        ),
        computed(
            "Internal-IP", _address("InternalIP"), priority=1, documented_by="io.k8s.api.core.v1.NodeStatus/addresses"
        ),
        computed(
            "External-IP", _address("ExternalIP"), priority=1, documented_by="io.k8s.api.core.v1.NodeStatus/addresses"
        ),
        text(
            "OS-Image",
            "status",
            "nodeInfo",
            "osImage",
            empty=UNKNOWN,
            priority=1,
            documented_by="io.k8s.api.core.v1.NodeSystemInfo/osImage",
        ),
        computed(
            "Kernel-Version", _kernel, priority=1, documented_by="io.k8s.api.core.v1.NodeSystemInfo/kernelVersion"
        ),
        text(
            "Container-Runtime",
            "status",
            "nodeInfo",
            "containerRuntimeVersion",
            empty=UNKNOWN,
            priority=1,
            documented_by="io.k8s.api.core.v1.NodeSystemInfo/containerRuntimeVersion",
        ),
    ),
    validate=validate,
    validate_update=validate_update,
    validate_status_update=validate_status_update,
    warnings=warnings,
)
