"""Where volumes come from: rules of every source that pods and persistent volumes have.

``REQUIRED`` names the fields that must be filled in; ``CHECKS`` what else a source demands. The kinds of cloud disks are long
gone from the kubelet but still valid objects, as upstream's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from steersman.meta import names
from steersman.meta.errors import invalid, not_supported, required, too_long
from steersman.schema.groups.core.paths import (
    check_descending,
    check_file_mode,
    check_file_name,
    check_no_backsteps,
)
from steersman.schema.rules import Errors, check_between, check_choice, check_name, check_required_name

Source = Mapping[str, Any]
Check = Callable[[Errors, Source, str], None]

CACHING_MODES = ("None", "ReadOnly", "ReadWrite")
AZURE_DISK_KINDS = ("Dedicated", "Managed", "Shared")
HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_ISCSI = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9.-]+)(:[^,;*&$|\s]+)$"),
    "eui": re.compile(r"^eui.[A-Za-z0-9]{16}$"),
    "naa": re.compile(r"^naa.[A-Za-z0-9]{32}$"),
}

REQUIRED: Mapping[str, Sequence[str]] = {
    "gitRepo": ("repository",),
    "gcePersistentDisk": ("pdName",),
    "awsElasticBlockStore": ("volumeID",),
    "secret": ("secretName",),
    "configMap": ("name",),
    "persistentVolumeClaim": ("claimName",),
    "nfs": ("server", "path"),
    "glusterfs": ("endpoints", "path"),
    "rbd": ("monitors", "image"),
    "cinder": ("volumeID",),
    "cephfs": ("monitors",),
    "flexVolume": ("driver",),
    "azureFile": ("secretName", "shareName"),
    "azureDisk": ("diskName", "diskURI"),
    "vsphereVolume": ("volumePath",),
    "photonPersistentDisk": ("pdID",),
    "portworxVolume": ("volumeID",),
    "scaleIO": ("gateway", "system", "volumeName"),
}


def check_source(errors: Errors, name: str, source: Source, path: str) -> None:
    """Rules of the source ``name`` that hold in pods and persistent volumes alike."""
    for field in REQUIRED.get(name, ()):
        if not source.get(field):
            errors.append(required(f"{path}.{field}"))
    check = CHECKS.get(name)
    if check is not None:
        check(errors, source, path)


def _check_host_path(errors: Errors, source: Source, path: str) -> None:
    target = source.get("path")
    if not target:
        errors.append(required(f"{path}.path"))
        return
    check_no_backsteps(errors, target, f"{path}.path")
    kind = source.get("type")
    if kind is not None and kind not in HOST_PATH_TYPES:
        errors.append(not_supported(f"{path}.type", kind, HOST_PATH_TYPES))


def _check_git_repo(errors: Errors, source: Source, path: str) -> None:
    check_descending(errors, source.get("directory") or "", f"{path}.directory")


def _check_partition(errors: Errors, source: Source, path: str) -> None:
    partition = source.get("partition") or 0
    if not 0 <= partition <= 255:
        errors.append(invalid(f"{path}.partition", partition, names.between(1, 255)))


def _check_nfs(errors: Errors, source: Source, path: str) -> None:
    if not (source.get("path") or "").startswith("/"):
        errors.append(invalid(f"{path}.path", source.get("path") or "", "must be an absolute path"))


def _check_iscsi(errors: Errors, source: Source, path: str) -> None:
    if not source.get("targetPortal"):
        errors.append(required(f"{path}.targetPortal"))
    if not source.get("iqn"):
        errors.append(required(f"{path}.iqn"))
    else:
        _check_initiator(errors, source["iqn"], f"{path}.iqn")
    check_between(errors, source.get("lun") or 0, f"{path}.lun", 0, 255)
    reference = source.get("secretRef")
    if (source.get("chapAuthDiscovery") or source.get("chapAuthSession")) and reference is None:
        errors.append(required(f"{path}.secretRef"))
    if source.get("initiatorName") is not None:
        _check_initiator(errors, source["initiatorName"], f"{path}.initiatorname")


def _check_initiator(errors: Errors, name: str, path: str) -> None:
    pattern = _ISCSI.get(name[:3])
    if pattern is None:
        errors.append(invalid(path, name, "must be valid format starting with iqn, eui, or naa"))
    elif pattern.search(name) is None:
        errors.append(invalid(path, name, "must be valid format"))


def _check_fibre_channel(errors: Errors, source: Source, path: str) -> None:
    targets, ids = source.get("targetWWNs") or [], source.get("wwids") or []
    if not targets and not ids:
        errors.append(required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both"))
    if targets and ids:
        detail = "targetWWNs and wwids can not be specified simultaneously"
        errors.append(invalid(f"{path}.targetWWNs", targets, detail))
    if targets:
        if source.get("lun") is None:
            errors.append(required(f"{path}.lun", "lun is required if targetWWNs is specified"))
        else:
            check_between(errors, source["lun"], f"{path}.lun", 0, 255)


def _check_items(errors: Errors, source: Source, path: str) -> None:
    check_file_mode(errors, source.get("defaultMode"), f"{path}.defaultMode")
    for index, item in enumerate(source.get("items") or ()):
        check_key_to_path(errors, item, f"{path}.items[{index}]")


def check_key_to_path(errors: Errors, item: Source, path: str) -> None:
    """Which key of a ConfigMap or Secret becomes which file."""
    if not item.get("key"):
        errors.append(required(f"{path}.key"))
    if not item.get("path"):
        errors.append(required(f"{path}.path"))
    check_file_name(errors, item.get("path") or "", f"{path}.path")
    check_file_mode(errors, item.get("mode"), f"{path}.mode")


def _check_quobyte(errors: Errors, source: Source, path: str) -> None:
    hosts = "must be a host:port pair or multiple pairs separated by commas"
    registry = source.get("registry") or ""
    if not registry:
        errors.append(required(f"{path}.registry", hosts))
    elif len(source.get("tenant") or "") >= 65:
        errors.append(required(f"{path}.tenant", "must be a UUID and may not exceed a length of 64 characters"))
    elif any(":" not in pair for pair in registry.split(",")):
        errors.append(invalid(f"{path}.registry", registry, hosts))
    if not source.get("volume"):
        errors.append(required(f"{path}.volume"))


def _check_flocker(errors: Errors, source: Source, path: str) -> None:
    name, uuid = source.get("datasetName") or "", source.get("datasetUUID") or ""
    if not name and not uuid:
        errors.append(required(path, "one of datasetName and datasetUUID is required"))
    if name and uuid:
        errors.append(invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously"))
    if "/" in name:
        errors.append(invalid(f"{path}.datasetName", name, "must not contain '/'"))


def _check_cinder(errors: Errors, source: Source, path: str) -> None:
    reference = source.get("secretRef")
    if reference is not None and not reference.get("name"):
        errors.append(required(f"{path}.secretRef.name"))


def _check_flex(errors: Errors, source: Source, path: str) -> None:
    for key in source.get("options") or ():
        space = f".{key.partition('/')[0].lower()}"
        if space.endswith((".kubernetes.io", ".k8s.io")):
            detail = "kubernetes.io and k8s.io namespaces are reserved"
            errors.append(invalid(f"{path}.options[{key}]", key, detail))


def _check_azure_disk(errors: Errors, source: Source, path: str) -> None:
    mode, kind, uri = source.get("cachingMode"), source.get("kind"), source.get("diskURI") or ""
    if mode is not None and mode not in CACHING_MODES:
        errors.append(not_supported(f"{path}.cachingMode", mode, CACHING_MODES))
    if kind is None:
        return
    if kind not in AZURE_DISK_KINDS:
        errors.append(not_supported(f"{path}.kind", kind, AZURE_DISK_KINDS))
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        managed = ("/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}",)
        errors.append(not_supported(f"{path}.diskURI", uri, managed))
    if kind != "Managed" and not uri.startswith("https://"):
        blob = ("https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd",)
        errors.append(not_supported(f"{path}.diskURI", uri, blob))


def _check_storage_os(errors: Errors, source: Source, path: str) -> None:
    check_required_name(errors, source.get("volumeName"), f"{path}.volumeName", names.label_errors)
    if source.get("volumeNamespace"):
        check_name(errors, source["volumeNamespace"], f"{path}.volumeNamespace", names.label_errors)
    _check_cinder(errors, source, path)


def check_csi_driver_name(errors: Errors, name: str | None, path: str) -> None:
    if not name:
        errors.append(required(path))
        return
    if len(name) > 63:
        errors.append(too_long(path, 63))
    for text in names.subdomain_errors(name.lower()):
        errors.append(invalid(path, name, text))


def _check_csi(errors: Errors, source: Source, path: str) -> None:
    check_csi_driver_name(errors, source.get("driver"), f"{path}.driver")


def _check_image(errors: Errors, source: Source, path: str) -> None:
    check_choice(errors, source.get("pullPolicy"), f"{path}.pullPolicy", ("Always", "IfNotPresent", "Never"))


CHECKS: Mapping[str, Check] = {
    "hostPath": _check_host_path,
    "gitRepo": _check_git_repo,
    "gcePersistentDisk": _check_partition,
    "awsElasticBlockStore": _check_partition,
    "secret": _check_items,
    "configMap": _check_items,
    "nfs": _check_nfs,
    "iscsi": _check_iscsi,
    "fc": _check_fibre_channel,
    "quobyte": _check_quobyte,
    "flocker": _check_flocker,
    "cinder": _check_cinder,
    "flexVolume": _check_flex,
    "azureDisk": _check_azure_disk,
    "storageos": _check_storage_os,
    "csi": _check_csi,
    "image": _check_image,
}
