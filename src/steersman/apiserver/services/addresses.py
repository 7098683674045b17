"""Where a Service's pods are, for requests of this server itself: a ready endpoint, so that no service proxy need run beside it.

Source: upstream's endpoint-routing ServiceResolver.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any

from steersman.apiserver.admission.api import Reader
from steersman.apiserver.webhooks.api import Address, ServiceReference, ServiceResolver, Unresolvable
from steersman.meta.objects import Object, labels
from steersman.meta.resources import ENDPOINTSLICES, SERVICES

_SERVICE_NAME = "kubernetes.io/service-name"
_WITH_ENDPOINTS = ("ClusterIP", "LoadBalancer", "NodePort")


class ServiceAddresses:
    """Finds addresses in the watch cache."""

    def __init__(self, reader: Reader, *, rng: random.Random) -> None:
        self._reader = reader
        self._rng = rng

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
        port = next((port for port in spec.get("ports") or () if port["port"] == service.port), None)
        if port is None:
            raise Unresolvable(f'no service port {service.port} found for service "{service.name}"')
        candidates = [
            Address(str(endpoint["addresses"][0]), number)
            for entry in self._slices(found)
            for number in _ports_named(entry, port.get("name") or "")
            for endpoint in self._shuffled(entry.get("endpoints") or ())
            if (endpoint.get("conditions") or {}).get("ready") is not False
        ]
        if not candidates:
            raise Unresolvable(f'no endpoints available for service "{service.name}"')
        return candidates[0]

    def _slices(self, service: Object) -> list[Object]:
        """In random order, those of the Service's first IP family first."""
        metadata = service["metadata"]
        slices = [
            entry
            for entry in self._reader.list(ENDPOINTSLICES, metadata["namespace"])
            if labels(entry).get(_SERVICE_NAME) == metadata["name"]
        ]
        families = service["spec"].get("ipFamilies") or [""]
        found = self._shuffled(slices)
        found.sort(key=lambda entry: entry.get("addressType") != families[0])
        return found

    def _shuffled(self, entries: Any) -> list[Any]:
        return self._rng.sample(entries, len(entries))


def _ports_named(entry: Mapping[str, Any], name: str) -> Iterator[int]:
    for port in entry.get("ports") or ():
        if port.get("port") is not None and (port.get("name") or "") == name:
            yield int(port["port"])


def _conforms(reader: Reader, rng: random.Random) -> ServiceResolver:
    return ServiceAddresses(reader, rng=rng)
