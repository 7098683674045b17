"""Where an extension API server is: an address behind its Service.

Source: upstream's ServiceResolvers. With ``--enable-aggregator-routing`` (on by default here: no service proxy need run beside this
server) a ready endpoint is chosen, otherwise the Service's cluster IP.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from steersman.apiserver.admission.api import Reader
from steersman.apiserver.aggregation.apiservice import ServiceReference
from steersman.meta.objects import Object, labels
from steersman.meta.resources import ENDPOINTSLICES, SERVICES

SERVICE_NAME_LABEL = "kubernetes.io/service-name"


class Unresolvable(Exception):
    """There is nothing behind the Service now; the text says why, in upstream's words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ServiceAddresses:
    """Finds addresses in the watch cache."""

    def __init__(self, reader: Reader, *, to_endpoints: bool, rng: random.Random) -> None:
        self._reader = reader
        self._to_endpoints = to_endpoints
        self._rng = rng

    def resolve(self, reference: ServiceReference) -> Address:
        """One address to send requests to. Raises ``Unresolvable``."""
        service = self._reader.get(SERVICES, reference.namespace, reference.name)
        if service is None:
            raise Unresolvable(f'service "{reference.name}" not found')
        spec = service["spec"]
        kind = spec.get("type") or "ClusterIP"
        if kind == "ExternalName":
            return Address(host=str(spec.get("externalName")), port=reference.port)
        if kind not in ("ClusterIP", "LoadBalancer", "NodePort"):
            raise Unresolvable(f'unsupported service type "{kind}"')
        port = port_of(service, reference.port)
        if port is None:
            raise Unresolvable(f'no service port {reference.port} found for service "{reference.name}"')
        if self._to_endpoints:
            return self._endpoint(service, port.get("name") or "")
        if spec.get("clusterIP") == "None":
            raise Unresolvable('cannot route to service with ClusterIP "None"')
        return Address(host=str(spec["clusterIP"]), port=reference.port)

    def _endpoint(self, service: Object, port_name: str) -> Address:
        """A ready endpoint; those of the Service's first IP family are preferred."""
        slices = slices_of(self._reader, service["metadata"]["namespace"], service["metadata"]["name"])
        families: Sequence[str] = service["spec"].get("ipFamilies") or ()
        shuffled = self._rng.sample(slices, len(slices))
        shuffled.sort(key=lambda entry: bool(families) and entry.get("addressType") != families[0])
        for entry in shuffled:
            for port in ports_named(entry, port_name):
                ready = [endpoint for endpoint in entry.get("endpoints") or () if is_ready(endpoint)]
                if ready:
                    return Address(host=str(self._rng.choice(ready)["addresses"][0]), port=port)
        raise Unresolvable(f'no endpoints available for service "{service["metadata"]["name"]}"')


def port_of(service: Object, number: int) -> Object | None:
    """The Service's port of that number."""
    return next((port for port in service["spec"].get("ports") or () if port["port"] == number), None)


def slices_of(reader: Reader, namespace: str, name: str) -> Sequence[Object]:
    return [entry for entry in reader.list(ENDPOINTSLICES, namespace) if labels(entry).get(SERVICE_NAME_LABEL) == name]


def ports_named(entry: Object, name: str) -> Iterator[int]:
    for port in entry.get("ports") or ():
        if port.get("port") is not None and (port.get("name") or "") == name:
            yield int(port["port"])


def is_ready(endpoint: Object) -> bool:
    return (endpoint.get("conditions") or {}).get("ready") is not False
