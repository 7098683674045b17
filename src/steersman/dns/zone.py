"""The cluster's zone as a table of encoded records, kept up to date Service by Service.

Pure: objects go in, names and records come out. Source: the Kubernetes DNS-Based Service Discovery specification, version
1.1.0, and CoreDNS' ``kubernetes`` plugin where the specification leaves a choice (names of endpoints without a hostname).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from msgspec import Struct

from steersman.dns import message
from steersman.dns.message import AAAA, CNAME, NS, PTR, SOA, SRV, TXT, A, Record, encode_name
from steersman.meta import objects
from steersman.meta.objects import Object

TTL_S = 30
SCHEMA_VERSION = "1.1.0"

Records = dict[bytes, dict[int, list[Record]]]
"""Name in wire form -> type -> records."""


class Answer(Struct, frozen=True):
    """What the zone says to a question; ``exists`` distinguishes no such record from no such name."""

    records: list[Record]
    exists: bool
    alias: bytes = b""
    """The target of a CNAME, where that is what the name has."""


class Zone:
    """Names below ``domain``, and the reverse names of what they stand for."""

    def __init__(self, domain: str) -> None:
        self.domain = domain.rstrip(".")
        self.apex = encode_name(self.domain)
        self._services: dict[str, Records] = {}
        self._names: dict[bytes, dict[str, dict[int, list[Record]]]] = {}
        self._parents: dict[bytes, int] = {}
        self._namespaces: set[str] = set()
        self._serial = 1
        self._pods_suffix = encode_name(f"pod.{self.domain}")
        self._fixed: Records = {
            self.apex: {NS: [Record(NS, TTL_S, b"\x02ns\x03dns" + self.apex)]},
            encode_name(f"dns-version.{self.domain}"): {TXT: [Record(TXT, TTL_S, message.text_data(SCHEMA_VERSION))]},
            encode_name(f"svc.{self.domain}"): {},
            self._pods_suffix: {},
        }

    def authority(self) -> Record:
        """The SOA record for the authority section of negative answers."""
        data = message.authority_data(self.apex, serial=self._serial, negative_ttl_s=TTL_S)
        return Record(SOA, TTL_S, data, name=self.apex)

    def contains(self, name: bytes) -> bool:
        """``name`` is ours to answer, also where it does not exist."""
        return name.endswith(self.apex) and (
            len(name) == len(self.apex) or _is_label_boundary(name, len(name) - len(self.apex))
        )

    def lookup(self, name: bytes, kind: int) -> Answer | None:
        """The answer to a question about a name of the zone or a reverse name we know; None for everything else."""
        sets = self._sets(name)
        if sets is None:
            if not self.contains(name):
                return None
            return self._lookup_pod(name, kind)
        if CNAME in sets and kind != CNAME:
            return Answer(sets[CNAME], True, alias=sets[CNAME][0].data)
        if kind == SOA and name == self.apex:
            return Answer([Record(SOA, TTL_S, self.authority().data)], True)
        if kind == message.ANY:
            return Answer([record for records in sets.values() for record in records], True)
        return Answer(sets.get(kind, []), True)

    def set_namespaces(self, names: Iterable[str]) -> None:
        """Which namespaces exist: their names answer "no such record" instead of "no such name"."""
        self._namespaces = set(names)

    def put_service(self, service: Object, slices: Iterable[Object]) -> None:
        """Replace everything that this Service stands for."""
        key = objects.key_of(service)
        self._withdraw(key)
        records = service_records(service, slices, self.domain)
        self._services[key] = records
        for name, sets in records.items():
            self._names.setdefault(name, {})[key] = sets
            for parent in self._ancestors(name):
                self._parents[parent] = self._parents.get(parent, 0) + 1
        self._serial += 1

    def remove_service(self, key: str) -> None:
        self._withdraw(key)
        self._serial += 1

    def _withdraw(self, key: str) -> None:
        for name in self._services.pop(key, {}):
            owners = self._names[name]
            owners.pop(key, None)
            if not owners:
                del self._names[name]
            for parent in self._ancestors(name):
                self._parents[parent] -= 1
                if not self._parents[parent]:
                    del self._parents[parent]

    def _ancestors(self, name: bytes) -> Iterator[bytes]:
        """Names between ``name`` and the apex: they exist without records."""
        if not self.contains(name):
            return
        name = name[1 + name[0] :]
        while len(name) > len(self.apex):
            yield name
            name = name[1 + name[0] :]

    def _sets(self, name: bytes) -> Mapping[int, list[Record]] | None:
        owners = self._names.get(name)
        if owners is None:
            if name in self._parents:
                return {}
            return self._fixed.get(name)
        if len(owners) == 1:
            return next(iter(owners.values()))
        together: dict[int, list[Record]] = {}
        for sets in owners.values():
            for kind, records in sets.items():
                together.setdefault(kind, []).extend(records)
        return together

    def _lookup_pod(self, name: bytes, kind: int) -> Answer:
        """``1-2-3-4.<namespace>.pod.<domain>`` is the address it spells, as clusters have it by default."""
        labels = message.decode_labels(name)
        depth = len(labels) - len(self.domain.split("."))
        nothing = Answer([], False)
        if depth == 2 and labels[1] in ("pod", "svc"):
            return Answer([], labels[0] in self._namespaces)
        if depth != 3 or labels[2] != "pod" or labels[1] not in self._namespaces:
            return nothing
        address = _dashed_address(labels[0])
        if address is None:
            return nothing
        record = _address_record(str(address))
        return Answer([record] if record.type == kind else [], True)


def service_records(service: Object, slices: Iterable[Object], domain: str) -> Records:
    """Every name that a Service and its endpoints have."""
    spec = service.get("spec") or {}
    base = f"{objects.name(service)}.{objects.namespace(service)}.svc.{domain}"
    records: Records = {}
    if spec.get("type") == "ExternalName":
        target = _name_or_none(spec.get("externalName") or "")
        if target is not None:
            _add(records, base, Record(CNAME, TTL_S, target))
        return records
    if spec.get("clusterIP") in (None, "", "None"):
        _add_endpoints(records, base, slices)
        return records
    target = encode_name(base)
    for address in spec.get("clusterIPs") or [spec["clusterIP"]]:
        _add(records, base, _address_record(address))
        _add_reverse(records, address, target)
    for port in spec.get("ports") or ():
        if port.get("name"):
            name = f"_{port['name']}._{(port.get('protocol') or 'TCP').lower()}.{base}"
            _add(records, name, Record(SRV, TTL_S, message.service_data(int(port["port"]), target)))
    return records


def _add_endpoints(records: Records, base: str, slices: Iterable[Object]) -> None:
    """A headless Service: its name has every ready endpoint, and each endpoint a name of its own."""
    seen: set[tuple[str, str]] = set()
    for entry in slices:
        if entry.get("addressType") not in ("IPv4", "IPv6"):
            continue
        for endpoint in entry.get("endpoints") or ():
            if (endpoint.get("conditions") or {}).get("ready") is False:
                continue
            for address in endpoint.get("addresses") or ():
                _add_endpoint(records, base, entry, endpoint, address, seen)


def _add_endpoint(
    records: Records,
    base: str,
    entry: Object,
    endpoint: Mapping[str, Any],
    address: str,
    seen: set[tuple[str, str]],
) -> None:
    hostname = endpoint.get("hostname") or address.replace(".", "-").replace(":", "-")
    own = f"{hostname}.{base}"
    target = _name_or_none(own)
    if target is None:
        return
    if (own, address) not in seen:
        seen.add((own, address))
        _add(records, base, _address_record(address))
        _add(records, own, _address_record(address))
        if endpoint.get("hostname"):
            _add_reverse(records, address, target)
    for port in entry.get("ports") or ():
        if port.get("name") and port.get("port"):
            name = f"_{port['name']}._{(port.get('protocol') or 'TCP').lower()}.{base}"
            _add(records, name, Record(SRV, TTL_S, message.service_data(int(port["port"]), target)))


def _add(records: Records, name: str, record: Record) -> None:
    encoded = _name_or_none(name)
    if encoded is None:
        return
    listed = records.setdefault(encoded, {}).setdefault(record.type, [])
    if record not in listed:
        listed.append(record)


def _add_reverse(records: Records, address: str, target: bytes) -> None:
    _add(records, ipaddress.ip_address(address).reverse_pointer, Record(PTR, TTL_S, target))


def _address_record(address: str) -> Record:
    parsed = ipaddress.ip_address(address)
    return Record(A if parsed.version == 4 else AAAA, TTL_S, parsed.packed)


def _dashed_address(label: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    for candidate in (label.replace("-", "."), label.replace("-", ":")):
        try:
            return ipaddress.ip_address(candidate)
        except ValueError:
            continue
    return None


def _name_or_none(name: str) -> bytes | None:
    try:
        return encode_name(name)
    except (ValueError, UnicodeEncodeError):
        return None


def _is_label_boundary(name: bytes, position: int) -> bool:
    index = 0
    while index < position:
        index += 1 + name[index]
    return index == position
