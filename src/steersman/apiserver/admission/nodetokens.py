"""Tokens that a kubelet asks for: of the pods on its node, for audiences that their volumes name or that are granted to it.

Source: "NodeRestriction" and the feature ServiceAccountNodeAudienceRestriction in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from steersman.apiserver.admission.api import AdmissionRequest, Reader
from steersman.apiserver.authz.api import Attributes, Authorizer
from steersman.meta import objects
from steersman.meta.errors import Forbidden, NotFound
from steersman.meta.objects import Object
from steersman.meta.quoting import quoted
from steersman.meta.resources import CSIDRIVERS, PERSISTENTVOLUMECLAIMS, PERSISTENTVOLUMES, PODS

_VERB = "request-serviceaccounts-token-audience"
_DRIVERS_OF_SOURCES = {
    "awsElasticBlockStore": "ebs.csi.aws.com",
    "azureDisk": "disk.csi.azure.com",
    "azureFile": "file.csi.azure.com",
    "cinder": "cinder.csi.openstack.org",
    "gcePersistentDisk": "pd.csi.storage.gke.io",
    "portworxVolume": "pxd.portworx.com",
    "vsphereVolume": "csi.vsphere.vmware.com",
}
"""The CSI drivers that took over from volume sources of the core API, in pods and in persistent volumes."""


class NodeTokens:
    """The part of NodeRestriction that reads TokenRequests."""

    def __init__(self, reader: Reader, authorizer: Authorizer) -> None:
        self._reader = reader
        self._authorizer = authorizer

    async def check(self, request: AdmissionRequest, node: str) -> None:
        """Raises ``Forbidden``, or ``NotFound`` where the pod is gone."""
        spec = (request.obj or {}).get("spec") or {}
        reference = spec.get("boundObjectRef") or {}
        name, uid = reference.get("name"), reference.get("uid")
        if reference.get("apiVersion") != "v1" or reference.get("kind") != "Pod" or not name:
            raise _no(request, "node requested token not bound to a pod")
        if not uid:
            raise _no(request, "node requested token with a pod binding without a uid")
        pod = self._reader.get(PODS, request.namespace, name)
        if pod is None:
            raise NotFound(f"pod {quoted(name)} not found", details={"name": name, "kind": "pod"})
        if objects.uid(pod) != uid:
            why = (
                f"the UID in the bound object reference ({uid}) does not match the UID in record. The object might have "
                "been deleted and then recreated"
            )
            raise _no(request, why)
        if (pod.get("spec") or {}).get("nodeName") != node:
            raise _no(request, "node requested token bound to a pod scheduled on a different node")
        audiences = spec.get("audiences") or ()
        if len(audiences) > 1:
            raise _no(request, "node may only request 0 or 1 audiences")
        await self._check_audience(request, pod, audiences[0] if audiences else "")

    async def _check_audience(self, request: AdmissionRequest, pod: Object, audience: str) -> None:
        problems: dict[str, None] = {}
        for volume in (pod.get("spec") or {}).get("volumes") or ():
            if audience in _projected_audiences(volume):
                return
            try:
                driver = self._driver(pod, volume)
                if driver and audience in self._driver_audiences(driver):
                    return
            except LookupError as error:
                problems[str(error.args[0])] = None
        if problems:
            text = ", ".join(problems)
            text = f"[{text}]" if len(problems) > 1 else text
            raise _no(request, f"error validating audience {quoted(audience)}: {text}")
        attributes = Attributes(
            user=request.user,
            verb=_VERB,
            namespace=request.namespace,
            version="v1",
            resource=audience,
            name=request.name,
        )
        if not (await self._authorizer.authorize(attributes)).allowed:
            why = (
                f"audience {quoted(audience)} not found in pod spec volume, {request.user.name} is not authorized to request "
                "tokens for this audience"
            )
            raise _no(request, why)

    def _driver(self, pod: Object, volume: Mapping[str, Any]) -> str:
        """The CSI driver behind ``volume``; "" where there is none. Raises ``LookupError`` where that cannot be told."""
        if (volume.get("ephemeral") or {}).get("volumeClaimTemplate") is not None:
            return self._driver_of_claim(objects.namespace(pod), f"{objects.name(pod)}-{volume['name']}")
        if volume.get("persistentVolumeClaim") is not None:
            return self._driver_of_claim(objects.namespace(pod), volume["persistentVolumeClaim"].get("claimName") or "")
        return _driver_of_source(volume)

    def _driver_of_claim(self, namespace: str, name: str) -> str:
        claim = self._reader.get(PERSISTENTVOLUMECLAIMS, namespace, name)
        if claim is None:
            raise LookupError(f'persistentvolumeclaim "{name}" not found')
        volume_name = (claim.get("spec") or {}).get("volumeName") or ""
        volume = self._reader.get(PERSISTENTVOLUMES, "", volume_name)
        if volume is None:
            raise LookupError(f'persistentvolume "{volume_name}" not found')
        return _driver_of_source(volume.get("spec") or {})

    def _driver_audiences(self, name: str) -> list[str]:
        driver = self._reader.get(CSIDRIVERS, "", name)
        if driver is None:
            raise LookupError(f'csidriver.storage.k8s.io "{name}" not found')
        return [asked.get("audience") or "" for asked in (driver.get("spec") or {}).get("tokenRequests") or ()]


def _projected_audiences(volume: Mapping[str, Any]) -> Iterator[str]:
    for source in (volume.get("projected") or {}).get("sources") or ():
        if source.get("serviceAccountToken") is not None:
            yield source["serviceAccountToken"].get("audience") or ""


def _driver_of_source(volume: Mapping[str, Any]) -> str:
    if volume.get("csi") is not None:
        return volume["csi"].get("driver") or ""
    return next((driver for source, driver in _DRIVERS_OF_SOURCES.items() if volume.get(source) is not None), "")


def _no(request: AdmissionRequest, why: str) -> Forbidden:
    return Forbidden.of(request.kind.resource, request.name, why)
