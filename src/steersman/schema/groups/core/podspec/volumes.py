"""Volumes of a pod, and how containers mount them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta import names
from steersman.meta.errors import duplicate, forbidden, invalid, not_found, not_supported, required
from steersman.meta.quantities import quantity
from steersman.schema import goforms
from steersman.schema.groups.core.claimspec import check_claim_template
from steersman.schema.groups.core.paths import check_descending, check_file_mode, check_file_name
from steersman.schema.groups.core.podspec.environment import (
    VOLUME_FIELDS,
    check_field_reference,
    check_resource_reference,
)
from steersman.schema.groups.core.signers import check_signer_name
from steersman.schema.groups.core.volumesources import check_key_to_path, check_source
from steersman.schema.rules import Errors, check_label_selector, check_name

Volumes = Mapping[str, Mapping[str, Any]]
"""Good volumes by name."""

PROPAGATION = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")
_KEY_TYPES = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")
_PATH_NAMES = {"gcePersistentDisk": "persistentDisk"}
"""Sources whose paths upstream spells otherwise."""


def check_volumes(errors: Errors, volumes: Sequence[Mapping[str, Any]] | None, path: str, *, pod_name: str) -> Volumes:
    """``pod_name``: empty in templates."""
    good: dict[str, Mapping[str, Any]] = {}
    if not volumes:
        return good
    made = {f"{pod_name}-{volume.get('name')}" for volume in volumes if pod_name and volume.get("ephemeral")}
    for index, volume in enumerate(volumes):
        at, name, before = f"{path}[{index}]", volume.get("name") or "", len(errors)
        _check_volume(errors, volume, at, is_pod=bool(pod_name))
        if not name:
            errors.append(required(f"{at}.name"))
        else:
            check_name(errors, name, f"{at}.name", names.label_errors)
        if name in good:
            errors.append(duplicate(f"{at}.name", name))
        if len(errors) == before:
            good[name] = volume
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim and claim in made:
            detail = "must not reference a PVC that gets created for an ephemeral volume"
            errors.append(invalid(f"{at}.persistentVolumeClaim.claimName", claim, detail))
    return good


def _check_volume(errors: Errors, volume: Mapping[str, Any], path: str, *, is_pod: bool) -> None:
    found = False
    for name, source in volume.items():
        if name == "name" or source is None:
            continue
        if found:
            errors.append(forbidden(f"{path}.{name}", "may not specify more than 1 volume type"))
            continue
        found = True
        at = f"{path}.{_PATH_NAMES.get(name, name)}"
        check_source(errors, name, source, at)
        match name:
            case "emptyDir":
                _check_empty_dir(errors, source, at)
            case "downwardAPI":
                check_file_mode(errors, source.get("defaultMode"), f"{at}.defaultMode")
                for item in source.get("items") or ():
                    _check_downward_file(errors, item, at)
            case "projected":
                check_file_mode(errors, source.get("defaultMode"), f"{at}.defaultMode")
                _check_projections(errors, source.get("sources") or (), at)
            case "ephemeral":
                if source.get("volumeClaimTemplate") is None:
                    errors.append(required(f"{at}.volumeClaimTemplate"))
                else:
                    check_claim_template(errors, source["volumeClaimTemplate"], f"{at}.volumeClaimTemplate")
            case "csi":
                reference = source.get("nodePublishSecretRef")
                if reference is not None and not reference.get("name"):
                    errors.append(required(f"{at}.nodePublishSecretRef.name"))
                elif reference is not None:
                    check_name(errors, reference["name"], f"{at}.name", names.subdomain_errors)
            case "image" if is_pod and not source.get("reference"):
                errors.append(required(f"{at}.reference"))
            case "iscsi" if source.get("initiatorName") is not None:
                if len(f"{volume.get('name')}:{source.get('targetPortal')}") > 64:
                    detail = (
                        "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if "
                        "iscsi.initiatorName is specified."
                    )
                    errors.append(invalid(f"{path}.name", volume.get("name"), detail))
    if not found:
        errors.append(required(path, "must specify a volume type"))


def _check_empty_dir(errors: Errors, source: Mapping[str, Any], path: str) -> None:
    limit = source.get("sizeLimit")
    if limit is None:
        return
    try:
        is_good = quantity(limit) >= 0
    except ValueError:
        is_good = False
    if not is_good:
        errors.append(forbidden(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity"))


def _check_downward_file(errors: Errors, item: Mapping[str, Any], path: str) -> None:
    if not item.get("path"):
        errors.append(required(f"{path}.path"))
    check_file_name(errors, item.get("path") or "", f"{path}.path")
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        check_field_reference(errors, field, f"{path}.fieldRef", VOLUME_FIELDS)
        if resource is not None:
            detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
            errors.append(invalid(path, "resource", detail))
    elif resource is not None:
        check_resource_reference(errors, resource, f"{path}.resourceFieldRef", needs_container=True)
    else:
        errors.append(required(path, "one of fieldRef and resourceFieldRef is required"))
    check_file_mode(errors, item.get("mode"), f"{path}.mode")


class _Files:
    """Paths that the sources of one projected volume write."""

    def __init__(self, errors: Errors, path: str) -> None:
        self._errors, self._path = errors, path
        self._seen: set[str] = set()

    def add(self, target: str, *, shown: str = "") -> None:
        if not target:
            return
        if target in self._seen:
            self._errors.append(invalid(self._path, shown or target, "conflicting duplicate paths"))
        self._seen.add(target)


def _check_projections(errors: Errors, sources: Sequence[Mapping[str, Any]], path: str) -> None:
    files = _Files(errors, path)
    for index, source in enumerate(sources):
        at = f"{path}.sources[{index}]"
        kinds = [name for name, value in source.items() if value is not None]
        for name in kinds:
            projection, where = source[name], f"{at}.{name}"
            match name:
                case "secret" | "configMap":
                    if not projection.get("name"):
                        errors.append(required(f"{where}.name"))
                    for number, item in enumerate(projection.get("items") or ()):
                        check_key_to_path(errors, item, f"{where}.items[{number}]")
                        files.add(item.get("path") or "", shown=projection.get("name") or "")
                case "downwardAPI":
                    for item in projection.get("items") or ():
                        _check_downward_file(errors, item, where)
                        files.add(item.get("path") or "")
                case "serviceAccountToken":
                    _check_token(errors, projection, where, path)
                case "clusterTrustBundle":
                    _check_trust_bundle(errors, projection, where)
                    files.add(projection.get("path") or "")
                case "podCertificate":
                    _check_pod_certificate(errors, projection, where, files)
        if len(kinds) > 1:
            errors.append(forbidden(at, "may not specify more than 1 volume type per source"))


def _check_token(errors: Errors, token: Mapping[str, Any], path: str, volume_path: str) -> None:
    seconds = token.get("expirationSeconds") or 0
    if seconds < 600:
        detail = "may not specify a duration less than 10 minutes"
        errors.append(invalid(f"{path}.expirationSeconds", seconds, detail))
    if seconds > 1 << 32:
        detail = "may not specify a duration larger than 2^32 seconds"
        errors.append(invalid(f"{path}.expirationSeconds", seconds, detail))
    if not token.get("path"):
        errors.append(required(f"{volume_path}.path"))
    else:
        check_file_name(errors, token["path"], f"{volume_path}.path")


def _check_trust_bundle(errors: Errors, bundle: Mapping[str, Any], path: str) -> None:
    name, signer = bundle.get("name"), bundle.get("signerName")
    if name is not None and signer is not None:
        errors.append(
            invalid(
                path,
                goforms.internal("core.v1.ClusterTrustBundleProjection", bundle),
                "only one of name and signerName may be used",
            )
        )
    elif name is not None:
        if name == "":
            errors.append(required(f"{path}.name", "must be a valid object name"))
        for text in names.subdomain_errors(name.rpartition(":")[2]):
            errors.append(invalid(f"{path}.name", name, f"not a valid clustertrustbundlename: {text}"))
        if bundle.get("labelSelector") is not None:
            detail = "labelSelector must be unset if name is specified"
            errors.append(invalid(f"{path}.labelSelector", bundle["labelSelector"], detail))
    elif signer is not None:
        check_signer_name(errors, signer, f"{path}.signerName")
        check_label_selector(errors, bundle.get("labelSelector"), f"{path}.labelSelector")
    else:
        errors.append(required(path, "either name or signerName must be specified"))
    if not bundle.get("path"):
        errors.append(required(f"{path}.path"))
    check_file_name(errors, bundle.get("path") or "", f"{path}.path")


def _check_pod_certificate(errors: Errors, certificate: Mapping[str, Any], path: str, files: _Files) -> None:
    check_signer_name(errors, certificate.get("signerName") or "", f"{path}.signerName")
    if certificate.get("keyType") not in _KEY_TYPES:
        errors.append(not_supported(f"{path}.keyType", certificate.get("keyType") or "", _KEY_TYPES))
    longest = certificate.get("maxExpirationSeconds")
    if longest is not None:
        if longest < 3600:
            detail = "if provided, maxExpirationSeconds must be >= 3600"
            errors.append(invalid(f"{path}.maxExpirationSeconds", longest, detail))
        is_own = (certificate.get("signerName") or "").startswith("kubernetes.io/")
        limit = 24 * 3600 if is_own else 91 * 24 * 3600
        if longest > limit:
            detail = f"if provided, maxExpirationSeconds must be <= {limit}"
            errors.append(invalid(f"{path}.maxExpirationSeconds", longest, detail))
    targets = [name for name in ("credentialBundlePath", "keyPath", "certificateChainPath") if certificate.get(name)]
    for name in targets:
        check_file_name(errors, certificate[name], f"{path}.{name}")
        files.add(certificate[name])
    if not targets:
        detail = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
        errors.append(required(path, detail))


def check_mounts(errors: Errors, container: Mapping[str, Any], path: str, volumes: Volumes) -> None:
    """``volumeMounts`` and ``volumeDevices`` of a container."""
    mounts, devices = container.get("volumeMounts") or (), container.get("volumeDevices") or ()
    device_paths = {device.get("name"): device.get("devicePath") for device in devices}
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        at = f"{path}.volumeMounts[{index}]"
        name, target = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors.append(required(f"{at}.name"))
        if name not in volumes:
            errors.append(not_found(f"{at}.name", name))
        if not target:
            errors.append(required(f"{at}.mountPath"))
        if target in seen:
            errors.append(invalid(f"{at}.mountPath", target, "must be unique"))
        seen.add(target)
        if name in device_paths:
            errors.append(invalid(f"{at}.name", name, "must not already exist in volumeDevices"))
        if device_paths and target in device_paths.values():
            errors.append(invalid(f"{at}.mountPath", target, "must not already exist as a path in volumeDevices"))
        _check_mount_options(errors, mount, container, f"{path}.volumeMounts", at)
    if devices:
        _check_devices(errors, devices, mounts, f"{path}.volumeDevices", volumes)


def _check_mount_options(
    errors: Errors, mount: Mapping[str, Any], container: Mapping[str, Any], path: str, at: str
) -> None:
    sub_path, expression = mount.get("subPath"), mount.get("subPathExpr")
    if sub_path:
        check_descending(errors, sub_path, f"{path}.subPath")
    if expression:
        if sub_path:
            detail = "subPathExpr and subPath are mutually exclusive"
            errors.append(invalid(f"{at}.subPathExpr", expression, detail))
        check_descending(errors, expression, f"{path}.subPathExpr")
    propagation = mount.get("mountPropagation")
    if propagation is not None:
        if propagation not in PROPAGATION:
            errors.append(not_supported(f"{path}.mountPropagation", propagation, PROPAGATION))
        if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
            detail = "Bidirectional mount propagation is available only to privileged containers"
            errors.append(forbidden(f"{path}.mountPropagation", detail))
    recursive = mount.get("recursiveReadOnly")
    if recursive is None or recursive == "Disabled":
        return
    if recursive not in _RECURSIVE:
        errors.append(not_supported(f"{path}.recursiveReadOnly", recursive, _RECURSIVE))
        return
    if not mount.get("readOnly"):
        errors.append(forbidden(f"{path}.recursiveReadOnly", "may only be specified when readOnly is true"))
    if propagation not in (None, "None"):
        detail = "may only be specified when mountPropagation is None or not specified"
        errors.append(forbidden(f"{path}.recursiveReadOnly", detail))


def _check_devices(
    errors: Errors,
    devices: Sequence[Mapping[str, Any]],
    mounts: Sequence[Mapping[str, Any]],
    path: str,
    volumes: Volumes,
) -> None:
    mount_paths = {mount.get("name"): mount.get("mountPath") for mount in mounts}
    seen_names: set[str] = set()
    seen_paths: set[str] = set()
    for index, device in enumerate(devices):
        at, name, target = f"{path}[{index}]", device.get("name") or "", device.get("devicePath") or ""
        if not name:
            errors.append(required(f"{at}.name"))
        if name in seen_names:
            errors.append(invalid(f"{at}.name", name, "must be unique"))
        volume = volumes.get(name)
        if volume is None:
            errors.append(not_found(f"{at}.name", name))
        elif not volume.get("persistentVolumeClaim") and not volume.get("ephemeral"):
            detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errors.append(invalid(f"{at}.name", name, detail))
        if not target:
            errors.append(required(f"{at}.devicePath"))
        if target in seen_paths:
            errors.append(invalid(f"{at}.devicePath", target, "must be unique"))
        if ".." in target.split("/"):
            errors.append(invalid(f"{at}.devicePath", target, "can not contain backsteps ('..')"))
        else:
            seen_paths.add(target)
        if name in mount_paths:
            errors.append(invalid(f"{at}.name", name, "must not already exist in volumeMounts"))
        if target in mount_paths.values():
            errors.append(invalid(f"{at}.devicePath", target, "must not already exist as a path in volumeMounts"))
        if name:
            seen_names.add(name)
