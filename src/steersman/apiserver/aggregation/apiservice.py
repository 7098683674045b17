"""An APIService as routing sees it, and the APIServices that this server registers by itself."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from msgspec import Struct

from steersman.apiserver.webhooks.api import ServiceReference
from steersman.meta.objects import Object, is_true, labels, name

MANAGED_LABEL = "kube-aggregator.kubernetes.io/automanaged"
ON_START = "onstart"
"""Of built-in versions: written once when a server starts, then the administrator's."""
CONTINUOUSLY = "true"
"""Of custom resources: follows their definitions."""
LEGACY_NAME = "v1."
DEFAULT_PORT = 443
CUSTOM_PRIORITY = (1000, 100)

PRIORITIES: Mapping[tuple[str, str], tuple[int, int]] = {
    ("", "v1"): (18000, 1),
    ("apps", "v1"): (17800, 15),
    ("events.k8s.io", "v1"): (17750, 15),
    ("events.k8s.io", "v1beta1"): (17750, 5),
    ("authentication.k8s.io", "v1"): (17700, 15),
    ("authentication.k8s.io", "v1beta1"): (17700, 9),
    ("authentication.k8s.io", "v1alpha1"): (17700, 1),
    ("authorization.k8s.io", "v1"): (17600, 15),
    ("autoscaling", "v1"): (17500, 15),
    ("autoscaling", "v2"): (17500, 30),
    ("batch", "v1"): (17400, 15),
    ("certificates.k8s.io", "v1"): (17300, 15),
    ("certificates.k8s.io", "v1beta1"): (17300, 9),
    ("certificates.k8s.io", "v1alpha1"): (17300, 1),
    ("networking.k8s.io", "v1"): (17200, 15),
    ("networking.k8s.io", "v1beta1"): (17200, 9),
    ("policy", "v1"): (17100, 15),
    ("rbac.authorization.k8s.io", "v1"): (17000, 15),
    ("storage.k8s.io", "v1"): (16800, 15),
    ("storage.k8s.io", "v1beta1"): (16800, 9),
    ("storage.k8s.io", "v1alpha1"): (16800, 1),
    ("admissionregistration.k8s.io", "v1"): (16700, 15),
    ("admissionregistration.k8s.io", "v1beta1"): (16700, 12),
    ("admissionregistration.k8s.io", "v1alpha1"): (16700, 9),
    ("apiextensions.k8s.io", "v1"): (16700, 15),
    ("scheduling.k8s.io", "v1"): (16600, 15),
    ("scheduling.k8s.io", "v1alpha2"): (16600, 2),
    ("coordination.k8s.io", "v1"): (16500, 15),
    ("coordination.k8s.io", "v1beta1"): (16500, 13),
    ("coordination.k8s.io", "v1alpha2"): (16500, 12),
    ("node.k8s.io", "v1"): (16300, 15),
    ("discovery.k8s.io", "v1"): (16200, 15),
    ("resource.k8s.io", "v1"): (16200, 21),
    ("resource.k8s.io", "v1beta2"): (16200, 15),
    ("resource.k8s.io", "v1beta1"): (16200, 9),
    ("resource.k8s.io", "v1alpha3"): (16200, 1),
    ("flowcontrol.apiserver.k8s.io", "v1"): (16100, 21),
    ("internal.apiserver.k8s.io", "v1alpha1"): (16000, 9),
    ("storagemigration.k8s.io", "v1beta1"): (15800, 9),
}
"""(group, version) -> (groupPriorityMinimum, versionPriority) of what is built in; kube-apiserver's values.

``apiregistration.k8s.io`` has none: it is served before anything can be registered.
"""


class APIService(Struct, frozen=True, kw_only=True):
    """One group and version, and who serves it."""

    name: str
    group: str
    version: str
    group_priority: int
    version_priority: int
    service: ServiceReference | None = None
    """None: this server itself."""
    ca_bundle: bytes = b""
    """PEM; empty: the authorities that the system trusts."""
    insecure: bool = False
    is_available: bool = False
    managed: str = ""
    """By which rule this server looks after the object; empty: not at all."""

    @classmethod
    def of(cls, obj: Object) -> APIService:
        spec = obj["spec"]
        reference = spec.get("service")
        service = None
        if reference is not None:
            service = ServiceReference(
                namespace=reference.get("namespace") or "",
                name=reference.get("name") or "",
                port=reference.get("port") or DEFAULT_PORT,
            )
        return cls(
            name=name(obj),
            group=spec.get("group") or "",
            version=spec.get("version") or "",
            group_priority=spec.get("groupPriorityMinimum") or 0,
            version_priority=spec.get("versionPriority") or 0,
            service=service,
            ca_bundle=_decoded(spec.get("caBundle") or ""),
            insecure=bool(spec.get("insecureSkipTLSVerify")),
            is_available=is_true(obj, "Available"),
            managed=labels(obj).get(MANAGED_LABEL, ""),
        )

    @property
    def path(self) -> str:
        """What it serves: this path and everything below."""
        return "/api" if self.name == LEGACY_NAME else f"/apis/{self.group}/{self.version}"

    @property
    def discovery_path(self) -> str:
        return f"/api/{self.version}" if self.name == LEGACY_NAME else self.path


def _decoded(bundle: str) -> bytes:
    try:
        return base64.b64decode(bundle)
    except binascii.Error:
        return b""


def name_of(group: str, version: str) -> str:
    return f"{version}.{group}"


def local(group: str, version: str, priority: tuple[int, int], managed: str) -> Object:
    """An APIService of what this server serves itself, as it is to be written."""
    spec: Object = {"version": version, "groupPriorityMinimum": priority[0], "versionPriority": priority[1]}
    if group:
        spec["group"] = group
    return {"metadata": {"name": name_of(group, version), "labels": {MANAGED_LABEL: managed}}, "spec": spec}
