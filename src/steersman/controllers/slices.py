"""Packing endpoints into EndpointSlices with few and small writes: what a Service's slices and mirrored ones have in common.

Source: KEP-752. Endpoints stay in the slice they are in; freed places are filled before other slices are touched; a slice is
never made fuller than the limit; slices to delete are reused for those to create.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import ENDPOINTSLICES

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
Ports = tuple[tuple[Any, ...], ...]
Identities = Callable[[Object], Sequence[tuple[Any, ...]]]


class Changes(Struct, frozen=True, kw_only=True):
    """Slices to write. What is in ``create`` has no name yet."""

    create: Sequence[Object] = ()
    update: Sequence[Object] = ()
    delete: Sequence[Object] = ()


class Group(Struct, kw_only=True):
    """Endpoints that share their ports, and so slices."""

    ports: list[Object]
    endpoints: dict[tuple[Any, ...], Object] = field(default_factory=dict)

    def add(self, endpoint: Object) -> None:
        self.endpoints[identity(endpoint)] = endpoint


def identity(endpoint: Mapping[str, Any]) -> tuple[Any, ...]:
    """What makes two endpoints the same one, whatever its conditions."""
    target, addresses = endpoint.get("targetRef") or {}, endpoint["addresses"]
    return (
        tuple(addresses if len(addresses) == 1 else sorted(addresses)),
        endpoint.get("hostname"),
        endpoint.get("nodeName"),
        target.get("namespace"),
        target.get("name"),
        target.get("uid"),
    )


def identities(entry: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """Of each endpoint of a slice."""
    return [identity(endpoint) for endpoint in entry.get("endpoints") or ()]


def ports_key(ports: Iterable[Mapping[str, Any]]) -> Ports:
    return tuple(
        sorted(
            (
                port.get("name") or "",
                port.get("port") or 0,
                port.get("protocol") or "TCP",
                port.get("appProtocol") or "",
            )
            for port in ports
        )
    )


def make(service_name: str, namespace: str, owner: Object | None, address_type: str, ports: list[Object]) -> Object:
    """An empty slice to be named by the server."""
    metadata: Object = {"generateName": f"{service_name}-"[:253], "namespace": namespace}
    if owner is not None:
        metadata["ownerReferences"] = [owner]
    return {
        "apiVersion": ENDPOINTSLICES.api_version,
        "kind": ENDPOINTSLICES.kind,
        "metadata": metadata,
        "addressType": address_type,
        "endpoints": [],
        "ports": ports,
    }


def pack(
    groups: Mapping[Ports, Group],
    existing: Sequence[Object],
    template: Object,
    metadata: Mapping[str, Any],
    most: int,
    *,
    keeps_one: bool = True,
    identities: Identities = identities,
) -> Changes:
    """Changes that make ``existing`` (slices of one address type) hold the endpoints of ``groups``.

    ``template`` is an empty slice as ``make`` gives it. ``metadata`` is what each slice's has to say, absent where None. With
    ``keeps_one`` a slice without ports remains where there is no endpoint. ``identities`` may remember what it gave.
    """
    by_ports: dict[Ports, list[Object]] = {}
    for old in existing:
        by_ports.setdefault(ports_key(old.get("ports") or ()), []).append(old)
    create: list[Object] = []
    update: list[Object] = []
    delete: list[Object] = [
        old
        for key, old_slices in by_ports.items()
        if key not in groups or not groups[key].endpoints
        for old in old_slices
    ]
    for key, group in groups.items():
        if group.endpoints:
            changes = _pack_group(group, by_ports.get(key, ()), template, metadata, most, identities)
            create += changes.create
            update += changes.update
            delete += changes.delete
    if keeps_one and len(delete) == len(existing) and not create:
        placeholder = _labelled({**template, "endpoints": [], "ports": []}, metadata)
        kept = next((old for old in delete if _is_placeholder(old, placeholder)), None)
        if kept is None:
            create.append(placeholder)
        else:
            delete.remove(kept)
    return _reused(create, update, delete)


def _pack_group(
    group: Group,
    existing: Sequence[Object],
    template: Object,
    metadata: Mapping[str, Any],
    most: int,
    identities: Identities,
) -> Changes:
    left = dict(group.endpoints)
    changed: dict[str, Object] = {}
    unchanged: dict[str, Object] = {}
    delete = []
    for old in existing:
        kept, differs = _kept(old, identities(old), left)
        if not kept:
            delete.append(old)
        elif differs or not _says(old, metadata):
            changed[objects.name(old)] = _labelled({**old, "endpoints": kept}, metadata)
        else:
            unchanged[objects.name(old)] = old
    for entry in sorted(changed.values(), key=lambda entry: len(entry["endpoints"]), reverse=True):
        _fill(entry["endpoints"], left, most)
    create = []
    while left:
        target = _best_fit(unchanged.values(), len(left), most) if len(left) < most else None
        if target is None:
            new = _labelled({**template, "endpoints": [], "ports": group.ports}, metadata)
            _fill(new["endpoints"], left, most)
            create.append(new)
        else:
            filled = {**target, "endpoints": list(target["endpoints"])}
            _fill(filled["endpoints"], left, most)
            changed[objects.name(target)] = filled
            del unchanged[objects.name(target)]
    return Changes(create=create, update=[*changed.values()], delete=delete)


def _kept(
    old: Object, keys: Sequence[tuple[Any, ...]], left: dict[tuple[Any, ...], Object]
) -> tuple[list[Object], bool]:
    """The endpoints of a slice that are still wanted, as they are now (taken out of ``left``); and whether that differs."""
    kept = [wanted for key in keys if (wanted := left.pop(key, None)) is not None]
    return kept, kept != (old.get("endpoints") or [])


def _fill(endpoints: list[Object], left: dict[tuple[Any, ...], Object], most: int) -> None:
    while left and len(endpoints) < most:
        endpoints.append(left.pop(next(iter(left))))


def _best_fit(candidates: Iterable[Object], count: int, most: int) -> Object | None:
    """The fullest slice that takes all of ``count`` more; None rather than one that would be written for little."""
    fitting = [entry for entry in candidates if count + len(entry["endpoints"]) <= most]
    return max(fitting, key=lambda entry: len(entry["endpoints"]), default=None)


def _labelled(entry: Object, metadata: Mapping[str, Any]) -> Object:
    return objects.with_metadata(entry, **metadata)


def _says(entry: Object, metadata: Mapping[str, Any]) -> bool:
    have = objects.metadata(entry)
    return all((have.get(name) or None) == (value or None) for name, value in metadata.items())


def _is_placeholder(old: Object, placeholder: Object) -> bool:
    return not old.get("endpoints") and not old.get("ports") and objects.labels(old) == objects.labels(placeholder)


def _reused(create: list[Object], update: list[Object], delete: list[Object]) -> Changes:
    """Write what is to be created into what is to be deleted, where there is such."""
    create, delete = list(create), list(delete)
    while create and delete:
        old, new = delete.pop(0), create.pop()
        made = {key: value for key, value in objects.metadata(new).items() if key != "generateName"}
        update = [*update, {**new, "metadata": {**objects.metadata(old), **made}}]
    return Changes(create=create, update=update, delete=delete)
