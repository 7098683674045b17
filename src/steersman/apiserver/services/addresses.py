"""Where a Service's pods are, for requests of this server itself: a ready endpoint, so that no service proxy need run beside it.

Source: upstream's ServiceResolvers. ``to_endpoints`` is ``--enable-aggregator-routing``, on by default here; without it requests go to
the cluster IP. Names of ExternalName Services are used either way.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from steersman.apiserver.admission.api import Reader
from steersman.apiserver.webhooks.api import Address, ServiceReference, ServiceResolver, Unresolvable
from steersman.meta.objects import Object, labels
from steersman.meta.resources import ENDPOINTSLICES, SERVICES

SERVICE_NAME_LABEL = "kubernetes.io/service-name"
_WITH_ENDPOINTS = ("ClusterIP", "LoadBalancer", "NodePort")


class ServiceAddresses:
    """Finds addresses in the watch cache."""

    def __init__(self, reader: Reader, *, rng: random.Random, to_endpoints: bool = True) -> None:
        self._reader = reader
        self._rng = rng
        self._to_endpoints = to_endpoints

    def resolve(self, service: ServiceReference) -> Address:
        found = self._reader.get(SERVICES, service.namespace, service.name)
        if found is None:
            raise Unresolvable(f'service "{service.name}" not found')
        spec = found["spec"]
        kind = spec.get("type") or "ClusterIP"
        if kind == "ExternalName":
            return Address(str(spec.get("externalName")), service.port)
        if kind not in _WITH_ENDPOINTS:
            raise Unresolvable(f'unsupported service type "{kind}"')
        port = port_of(found, service.port)
        if port is None:
            raise Unresolvable(f'no service port {service.port} found for service "{service.name}"')
        if not self._to_endpoints:
            if spec.get("clusterIP") == "None":
                raise Unresolvable('cannot route to service with ClusterIP "None"')
            return Address(str(spec["clusterIP"]), service.port)
        for entry in self._slices(found):
            for number in ports_named(entry, port.get("name") or ""):
                for endpoint in self._shuffled(entry.get("endpoints") or ()):
                    if is_ready(endpoint):
                        return Address(str(endpoint["addresses"][0]), number)
        raise Unresolvable(f'no endpoints available for service "{service.name}"')

    def _slices(self, service: Object) -> list[Object]:
        """In random order, those of the Service's first IP family first."""
        metadata = service["metadata"]
        slices = slices_of(self._reader, metadata["namespace"], metadata["name"])
        families = service["spec"].get("ipFamilies") or [""]
        found = self._shuffled(slices)
        found.sort(key=lambda entry: entry.get("addressType") != families[0])
        return found

    def _shuffled(self, entries: Any) -> list[Any]:
        return self._rng.sample(entries, len(entries))


def port_of(service: Object, number: int) -> Object | None:
    """The Service's port of that number."""
    return next((port for port in service["spec"].get("ports") or () if port["port"] == number), None)


def slices_of(reader: Reader, namespace: str, name: str) -> Sequence[Object]:
    """The EndpointSlices of a Service."""
    return [entry for entry in reader.list(ENDPOINTSLICES, namespace) if labels(entry).get(SERVICE_NAME_LABEL) == name]


def ports_named(entry: Mapping[str, Any], name: str) -> Iterator[int]:
    for port in entry.get("ports") or ():
        if port.get("port") is not None and (port.get("name") or "") == name:
            yield int(port["port"])


def is_ready(endpoint: Mapping[str, Any]) -> bool:
    return (endpoint.get("conditions") or {}).get("ready") is not False


def _conforms(reader: Reader, rng: random.Random) -> ServiceResolver:
    return ServiceAddresses(reader, rng=rng)
