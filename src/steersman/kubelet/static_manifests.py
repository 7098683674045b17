"""Manifests of static pods, from a file or a URL: decoded, checked, and made pods of this node.

A pod's identity comes from where it is from and what it says, so that a changed manifest is a new pod; names get the
node's name appended, as upstream does. A static pod may not need anything of the API: it has to run without.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from steersman.kubelet.podspec import CONFIG_HASH, CONFIG_SEEN, CONFIG_SOURCE, containers
from steersman.meta.objects import Object

Source = Literal["file", "http"]
TOLERATION = {"operator": "Exists", "effect": "NoExecute"}
_SAFE_VOLUMES = frozenset(
    ("downwardAPI", "emptyDir", "hostPath", "image", "nfs", "iscsi", "fc", "gitRepo", "flexVolume")
)
_VOLUMES = {
    "configMap": "configmaps (via configmap volumes)",
    "secret": "secrets (via secret volumes)",
    "csi": "csidrivers (via CSI volumes)",
    "persistentVolumeClaim": "persistentvolumeclaims",
    "ephemeral": "persistentvolumeclaims (via ephemeral volumes)",
}
_PROJECTED = {
    "configMap": "configmaps (via projected volumes)",
    "secret": "secrets (via projected volumes)",
    "serviceAccountToken": "serviceaccounts (via projected volumes)",
    "clusterTrustBundle": "clustertrustbundles",
    "podCertificate": "podcertificates",
}


class ManifestError(ValueError):
    """The manifest is not a pod that can run here."""


def static_pod(text: str, *, origin: str, node_name: str, seen: str, source: Source = "file") -> Object:
    """The pod of a manifest from ``origin`` (a file name or URL). Raises ``ManifestError``."""
    return _pod(_decoded(text, origin), origin=origin, node_name=node_name, seen=seen, source=source)


def static_pods(text: str, *, origin: str, node_name: str, seen: str, source: Source = "http") -> list[Object]:
    """As ``static_pod``, where a PodList is good too. Raises ``ManifestError`` when any of them is none."""
    manifest = _decoded(text, origin)
    items = [manifest]
    if manifest.get("kind") in ("PodList", "List") and manifest.get("apiVersion") == "v1":
        items = [{"apiVersion": "v1", "kind": "Pod", **item} for item in manifest.get("items") or ()]
    return [_pod(item, origin=origin, node_name=node_name, seen=seen, source=source) for item in items]


def _decoded(text: str, origin: str) -> Mapping[str, Any]:
    import yaml

    try:
        manifest = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ManifestError(f"{origin}: {error}") from error
    if not isinstance(manifest, dict):
        raise ManifestError(f"{origin}: not a Pod of v1")
    return manifest


def _pod(manifest: Mapping[str, Any], *, origin: str, node_name: str, seen: str, source: Source) -> Object:
    if manifest.get("kind") != "Pod" or manifest.get("apiVersion") != "v1":
        raise ManifestError(f"{origin}: not a Pod of v1")
    metadata = manifest.get("metadata") or {}
    if not metadata.get("name"):
        raise ManifestError(f"{origin}: invalid pod: name is needed for the pod")
    if not isinstance(manifest.get("spec"), dict):
        raise ManifestError(f"{origin}: a pod needs a spec")
    pod: Object = copy.deepcopy({**manifest, "metadata": dict(metadata)})
    uid = metadata.get("uid") or _identity(manifest, origin, node_name, source)
    annotations = {**(metadata.get("annotations") or {}), CONFIG_HASH: uid, CONFIG_SOURCE: source, CONFIG_SEEN: seen}
    pod["metadata"].update(
        {
            "name": f"{metadata['name']}-{node_name.lower()}",
            "namespace": metadata.get("namespace") or "default",
            "uid": uid,
            "annotations": annotations,
        }
    )
    spec = pod["spec"]
    spec["nodeName"] = node_name
    if source == "file" and TOLERATION not in (spec.get("tolerations") or ()):
        spec["tolerations"] = [*(spec.get("tolerations") or ()), dict(TOLERATION)]
    from steersman.schema.groups.core.pod import KIND  # every kind comes with it, which a node without manifests spares

    try:
        KIND.default(pod)
        errors = KIND.validate(pod)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ManifestError(f"{origin}: invalid pod: {error!r}") from error
    if errors:
        raise ManifestError(f"{origin}: invalid pod: {', '.join(str(error) for error in errors)}")
    reference = next(api_references(pod), "")
    if reference:
        raise ManifestError(f"{origin}: static pods may not reference {reference}")
    pod["status"] = {"phase": "Pending"}
    return pod


def _identity(manifest: Mapping[str, Any], origin: str, node_name: str, source: Source) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    parts = [msgspec.json.encode(manifest, order="sorted"), origin.encode()]
    if source == "file":
        parts.append(node_name.encode())
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def api_references(pod: Mapping[str, Any]) -> Iterator[str]:
    """What of the API the pod could not do without, in upstream's words."""
    spec = pod["spec"]
    if spec.get("serviceAccountName"):
        yield "serviceaccounts"
    environment = [
        entry
        for container in containers(pod)
        for entry in (
            *(container.spec.get("envFrom") or ()),
            *(item.get("valueFrom") or {} for item in container.spec.get("env") or ()),
        )
    ]
    if spec.get("imagePullSecrets") or any("secretRef" in entry or "secretKeyRef" in entry for entry in environment):
        yield "secrets"
    if any("configMapRef" in entry or "configMapKeyRef" in entry for entry in environment):
        yield "configmaps"
    if spec.get("resourceClaims"):
        yield "resourceclaims"
    for volume in spec.get("volumes") or ():
        yield from _of_volume(volume)


def _of_volume(volume: Mapping[str, Any]) -> Iterator[str]:
    for kind in volume:
        if kind in _VOLUMES:
            yield _VOLUMES[kind]
        elif kind == "projected":
            for source in volume[kind].get("sources") or ():
                yield from (
                    _PROJECTED.get(name, f"{name} (via projected volumes)") for name in source if name != "downwardAPI"
                )
        elif kind != "name" and kind not in _SAFE_VOLUMES:
            yield f"{kind} volumes"
