"""Where pods, services, nodes and kubelets are, for requests that go to them.

Source: "Manually constructing API server proxy URLs" in the Kubernetes documentation; messages are kube-apiserver's.
"""

from __future__ import annotations

import random
import ssl
from collections.abc import Sequence

from msgspec import Struct

from steersman.apiserver.admission.api import Reader
from steersman.apiserver.config import KubeletAccess
from steersman.apiserver.proxying.backend import DialError, Target, check_address, check_host
from steersman.apiserver.tls import kubelet_context
from steersman.meta.errors import BadRequest, NotFound, ServiceUnavailable
from steersman.meta.objects import Object
from steersman.meta.resources import ENDPOINTS, NODES, PODS, SERVICES

KUBELET_PORT = 10250
_SCHEMES = ("", "http", "https")


class ProxyName(Struct, frozen=True):
    """``[scheme:]name[:port]``, as the name in a proxy URL may be."""

    scheme: str
    name: str
    port: str

    @classmethod
    def parse(cls, text: str, what: str) -> ProxyName:
        """Raises ``BadRequest``."""
        parts = text.split(":")
        if len(parts) == 1:
            found = cls("", parts[0], "")
        elif len(parts) == 2:
            found = cls("", parts[0], parts[1])
        elif len(parts) == 3:
            found = cls(parts[0], parts[1], parts[2])
        else:
            raise BadRequest(f'invalid {what} request "{text}"')
        if found.scheme not in _SCHEMES or not found.name:
            raise BadRequest(f'invalid {what} request "{text}"')
        return found


class Locations:
    """Finds targets in the watch cache."""

    def __init__(self, reader: Reader, access: KubeletAccess, *, rng: random.Random) -> None:
        self._reader = reader
        self._access = access
        self._rng = rng
        self._context: ssl.SSLContext | None = None

    @property
    def kubelet_tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = kubelet_context(self._access)
        return self._context

    def kubelet(self, node: str, path: str, query: str = "") -> Target:
        """Raises ``NotFound`` and ``DialError``."""
        obj = self._reader.get(NODES, "", node)
        if obj is None:
            raise NotFound.of(NODES, node)
        host, port = self._address(obj)
        return Target(scheme="https", host=host, port=port, path=path, query=query, tls=self.kubelet_tls)

    def _address(self, node: Object) -> tuple[str, int]:
        status = node.get("status") or {}
        addresses = {entry.get("type"): entry.get("address") for entry in reversed(status.get("addresses") or ())}
        endpoint = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
        port = endpoint.get("Port") or KUBELET_PORT
        for kind in self._access.preferred_address_types:
            if addresses.get(kind):
                return str(addresses[kind]), int(port)
        shown = " ".join(f"{{{entry.get('type')} {entry.get('address')}}}" for entry in status.get("addresses") or ())
        raise DialError(f"no preferred addresses found; known addresses: [{shown}]")

    async def node_proxy(self, text: str, path: str, query: str) -> Target:
        """The kubelet, or another port of its node. Raises ``BadRequest`` also for names of addresses not to be reached."""
        wanted = ProxyName.parse(text, "node")
        obj = self._reader.get(NODES, "", wanted.name)
        if obj is None:
            raise NotFound.of(NODES, wanted.name)
        host, port = self._address(obj)
        await check_host(host)
        if wanted.port in ("", str(port)):
            return Target(scheme="https", host=host, port=port, path=path, query=query, tls=self.kubelet_tls)
        return Target(
            scheme=wanted.scheme or "http", host=host, port=_port(wanted.port, "node", text), path=path, query=query
        )

    def pod_proxy(self, namespace: str, text: str, path: str, query: str) -> Target:
        wanted = ProxyName.parse(text, "pod")
        pod = self.pod(namespace, wanted.name)
        port = wanted.port
        if not port:
            ports = [entry for c in pod["spec"].get("containers") or () for entry in (c.get("ports") or ())[:1]]
            port = str(ports[0]["containerPort"]) if ports else ""
        status = pod.get("status") or {}
        address = status.get("podIP") or next((entry["ip"] for entry in status.get("podIPs") or ()), "")
        check_address(address)
        default = 443 if wanted.scheme == "https" else 80
        number = _port(port, "pod", text) if port else default
        return Target(scheme=wanted.scheme or "http", host=address, port=number, path=path, query=query)

    def service_proxy(self, namespace: str, text: str, path: str, query: str) -> Target:
        """One of the pods behind the service, at random. Raises ``ServiceUnavailable`` where there is none."""
        wanted = ProxyName.parse(text, "service")
        port = wanted.port
        if port.isascii() and port.isdigit():
            port = self._port_name(namespace, wanted.name, int(port))
        endpoints = self._reader.get(ENDPOINTS, namespace, wanted.name)
        if endpoints is None:
            raise NotFound.of(SERVICES, wanted.name)
        subsets = endpoints.get("subsets") or []
        if not subsets:
            raise ServiceUnavailable(f'no endpoints available for service "{wanted.name}"')
        for subset in self._rng.sample(subsets, len(subsets)):
            for entry in subset.get("ports") or ():
                if (entry.get("name") or "") == port:
                    address = self._pod_address(subset.get("addresses") or ())
                    if address:
                        return Target(
                            scheme=wanted.scheme or "http", host=address, port=entry["port"], path=path, query=query
                        )
        raise ServiceUnavailable(f'no endpoints available for service "{text}"')

    def _port_name(self, namespace: str, name: str, number: int) -> str:
        service = self._reader.get(SERVICES, namespace, name)
        if service is None:
            raise NotFound.of(SERVICES, name)
        for port in service["spec"].get("ports") or ():
            if port["port"] == number:
                return str(port.get("name") or "")
        raise ServiceUnavailable(f'no service port {number} found for service "{name}"')

    def _pod_address(self, addresses: Sequence[Object]) -> str:
        """The address of a pod that has it; others are not proxied to."""
        for address in self._rng.sample(addresses, len(addresses)):
            reference = address.get("targetRef") or {}
            if reference.get("kind") != "Pod":
                continue
            pod = self._reader.get(PODS, reference.get("namespace") or "", reference.get("name") or "")
            status = (pod or {}).get("status") or {}
            if address["ip"] in {status.get("podIP"), *(entry.get("ip") for entry in status.get("podIPs") or ())}:
                check_address(address["ip"])
                return str(address["ip"])
        return ""

    def pod(self, namespace: str, name: str) -> Object:
        """Raises ``NotFound``."""
        found = self._reader.get(PODS, namespace, name)
        if found is None:
            raise NotFound.of(PODS, name)
        return found

    def pod_node(self, pod: Object) -> str:
        """Raises ``BadRequest`` where the pod is on no node."""
        node = pod["spec"].get("nodeName")
        if not node:
            raise BadRequest(f"pod {pod['metadata']['name']} does not have a host assigned")
        return str(node)


def container_of(pod: Object, wanted: str) -> str:
    """The container that is meant. Raises ``BadRequest`` where that is none or not clear."""
    name, spec = pod["metadata"]["name"], pod["spec"]

    def groups(field: str) -> list[str]:
        return [entry["name"] for entry in spec.get(field) or ()]

    every = [*groups("initContainers"), *groups("containers"), *groups("ephemeralContainers")]
    if wanted:
        if wanted not in every:
            raise BadRequest(f"container {wanted} is not valid for pod {name}")
        return wanted
    containers = groups("containers")
    if len(containers) == 1:
        return containers[0]
    choice = f", choose one of: [{' '.join(every)}]" if containers else ""
    raise BadRequest(f"a container name must be specified for pod {name}{choice}")


def _port(text: str, what: str, request: str) -> int:
    if text.isascii() and text.isdigit() and 0 < int(text) < 65536:
        return int(text)
    raise BadRequest(f'invalid {what} request "{request}"')
