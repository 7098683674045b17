"""Pod: containers that run together on one node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta.addresses import ip_warnings
from steersman.meta.errors import FieldError, forbidden
from steersman.meta.objects import Object, generation
from steersman.meta.resources import PODS
from steersman.schema.equality import same
from steersman.schema.groups.core.podspec import remembered
from steersman.schema.groups.core.podspec.annotations import check_pod_annotations
from steersman.schema.groups.core.podspec.containers import check_image
from steersman.schema.groups.core.podspec.defaults import default_pod
from steersman.schema.groups.core.podspec.preparation import adopt_noted_profiles, gated_conditions, merge_label_keys
from steersman.schema.groups.core.podspec.qos import qos_class
from steersman.schema.groups.core.podspec.specification import MIRROR_ANNOTATION, check_pod_spec
from steersman.schema.groups.core.podspec.statuses import pod_status_errors, prepare_status
from steersman.schema.groups.core.podspec.updates import ephemeral_containers_errors, pod_update_errors, resize_errors
from steersman.schema.groups.core.podspec.warnings import no_warnings, pod_warnings
from steersman.schema.groups.core.podtable import COLUMNS, PrintedPod, cells, row_conditions
from steersman.schema.kind import Kind, Subresource
from steersman.schema.selectable import flag_at, text_at
from steersman.schema.subresources import STATUS, proxy, upgrade


def _no_text(obj: Object) -> str:
    """Upstream accepts ``status.podIPs`` in field selectors and compares it with nothing."""
    return ""


def prepare_create(obj: Object) -> None:
    spec = obj["spec"]
    merge_label_keys(obj)
    adopt_noted_profiles(obj)
    grace_s = spec.get("terminationGracePeriodSeconds")
    if grace_s is not None and grace_s < 0:
        spec["terminationGracePeriodSeconds"] = 1
    obj["status"] = {"phase": "Pending", "qosClass": qos_class(obj)}
    conditions = gated_conditions(spec)
    if conditions:
        obj["status"]["conditions"] = conditions


def validate(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec, metadata = obj.get("spec") or {}, obj.get("metadata") or {}
    if metadata.get("annotations"):
        check_pod_annotations(errors, metadata["annotations"], spec)
    if not metadata.get("name") or MIRROR_ANNOTATION in (metadata.get("annotations") or ()):
        return errors + _specification_errors(spec, metadata)
    facts = remembered.PODS.facts(spec)
    if facts is None or not facts.is_valid:
        found = _specification_errors(spec, metadata)
        errors += found
        if facts is not None:
            facts.is_valid = not found
    return errors


def _specification_errors(spec: Mapping[str, Any], metadata: Mapping[str, Any]) -> list[FieldError]:
    errors: list[FieldError] = []
    check_pod_spec(errors, spec, "spec", metadata)
    if not spec.get("serviceAccountName"):
        _check_tokens(errors, spec)
    for group in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(group) or ()):
            check_image(errors, container, f"spec.{group}[{index}]")
    return errors


def _check_tokens(errors: list[FieldError], spec: Mapping[str, Any]) -> None:
    for index, volume in enumerate(spec.get("volumes") or ()):
        for number, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
            if source.get("serviceAccountToken") is not None:
                path = f"spec.volumes[{index}].projected.sources[{number}].serviceAccountToken"
                errors.append(forbidden(path, "must not be specified when serviceAccountName is not set"))


def validate_create(obj: Object) -> list[FieldError]:
    errors: list[FieldError] = []
    spec = obj.get("spec") or {}
    if spec.get("ephemeralContainers"):
        errors.append(forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        errors.append(forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
    return errors


def _raise_generation(new: Object, old: Object) -> None:
    if not same(new.get("spec"), old.get("spec")):
        new["metadata"]["generation"] = generation(old) + 1


def _prepare_ephemeral_containers(new: Object, old: Object) -> None:
    added = (new.get("spec") or {}).get("ephemeralContainers")
    new["spec"] = {name: value for name, value in old["spec"].items() if name != "ephemeralContainers"}
    if added:
        new["spec"]["ephemeralContainers"] = added
    new["status"] = old.get("status") or {}
    _raise_generation(new, old)


def _validate_ephemeral_containers(new: Object, old: Object) -> list[FieldError]:
    return validate(new) + ephemeral_containers_errors(new, old)


def _prepare_resize(new: Object, old: Object) -> None:
    spec, before = new.get("spec") or {}, old["spec"]
    groups = ("containers", "initContainers")
    if any(len(spec.get(group) or ()) != len(before.get(group) or ()) for group in groups):
        return
    kept = dict(before)
    for group in groups:
        if before.get(group):
            kept[group] = _resized(spec[group], before[group])
    if spec.get("resources") is not None:
        kept["resources"] = spec["resources"]
    else:
        kept.pop("resources", None)
    new["spec"], new["status"] = kept, old.get("status") or {}
    _raise_generation(new, old)


def _resized(new: list[Object], old: list[Object]) -> list[Object]:
    """The old containers with the new sizes; as they are where names differ, which validation refuses."""
    if [entry.get("name") for entry in new] != [entry.get("name") for entry in old]:
        return new
    merged = []
    for entry, was in zip(new, old, strict=True):
        rest = {name: value for name, value in was.items() if name not in ("resources", "resizePolicy")}
        rest |= {name: entry[name] for name in ("resources", "resizePolicy") if name in entry}
        merged.append(rest)
    return merged


def _validate_resize(new: Object, old: Object) -> list[FieldError]:
    return validate(new) + resize_errors(new, old)


def grace_period_s(obj: Object) -> int:
    seconds = (obj.get("spec") or {}).get("terminationGracePeriodSeconds")
    return 0 if seconds is None else int(seconds)


def is_deleted_at_once(obj: Object) -> bool:
    """Nothing runs: it never got a node, or everything has ended."""
    has_node = bool((obj.get("spec") or {}).get("nodeName"))
    return not has_node or (obj.get("status") or {}).get("phase") in ("Failed", "Succeeded")


def status_warnings(obj: Object) -> list[str]:
    status = obj.get("status") or {}
    return [
        text
        for group in ("podIPs", "hostIPs")
        for index, entry in enumerate(status.get(group) or ())
        for text in ip_warnings(f"status.{group}[{index}].ip", entry.get("ip") or "")
    ]


KIND = Kind(
    resource=PODS,
    definition="io.k8s.api.core.v1.Pod",
    singular="pod",
    short_names=("po",),
    categories=("all",),
    subresources=(
        upgrade("attach", "PodAttachOptions"),
        Subresource(name="binding", verbs=("create",), kind="Binding"),
        Subresource(
            name="ephemeralcontainers",
            verbs=("get", "patch", "update"),
            prepare_update=_prepare_ephemeral_containers,
            validate_update=_validate_ephemeral_containers,
        ),
        Subresource(name="eviction", verbs=("create",), kind="Eviction", group="policy", version="v1"),
        upgrade("exec", "PodExecOptions"),
        Subresource(name="log", verbs=("get",)),
        upgrade("portforward", "PodPortForwardOptions"),
        proxy("PodProxyOptions"),
        Subresource(
            name="resize",
            verbs=("get", "patch", "update"),
            prepare_update=_prepare_resize,
            validate_update=_validate_resize,
        ),
        STATUS,
    ),
    storage_prefix="pods",
    returns_deleted_object=True,
    selectable_fields={
        "spec.hostNetwork": flag_at("spec", "hostNetwork"),
        "spec.nodeName": text_at("spec", "nodeName"),
        "spec.restartPolicy": text_at("spec", "restartPolicy"),
        "spec.schedulerName": text_at("spec", "schedulerName"),
        "spec.serviceAccountName": text_at("spec", "serviceAccountName"),
        "status.nominatedNodeName": text_at("status", "nominatedNodeName"),
        "status.phase": text_at("status", "phase"),
        "status.podIP": text_at("status", "podIP"),
        "status.podIPs": _no_text,
    },
    has_status=True,
    delete_returns_object=True,
    default=default_pod,
    columns=COLUMNS,
    cells=cells,
    printed=PrintedPod,
    row_conditions=row_conditions,
    counts_generation=True,
    prepare_create=prepare_create,
    prepare_status_update=prepare_status,
    validate=validate,
    validate_create=validate_create,
    validate_update=pod_update_errors,
    validate_status_update=pod_status_errors,
    grace_period_s=grace_period_s,
    is_deleted_at_once=is_deleted_at_once,
    warnings=pod_warnings,
    update_warnings=no_warnings,
    status_warnings=status_warnings,
)
