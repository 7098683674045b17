"""What a start brings back into order: addresses and ports that Services have but the books do not, and the reverse."""

from __future__ import annotations

import logging

from steersman.apiserver.admission.api import Reader
from steersman.apiserver.services.allocation import ports_of
from steersman.apiserver.services.clusterips import AllocationError, ClusterIPs
from steersman.apiserver.services.networks import parse_address
from steersman.apiserver.services.nodeports import NodePorts
from steersman.meta.resources import IPADDRESSES, SERVICES

log = logging.getLogger(__name__)


async def repair(reader: Reader, clusterips: ClusterIPs, nodeports: NodePorts) -> None:
    """Once, before Services are served. Raises ``StoreUnavailable``."""
    used: dict[str, tuple[str, str]] = {}
    ports: set[int] = set()
    for service in reader.list(SERVICES):
        metadata, spec = service["metadata"], service.get("spec") or {}
        owner = (metadata.get("namespace") or "", metadata["name"])
        ports.update(ports_of(spec))
        for address in spec.get("clusterIPs") or ():
            parsed = parse_address(address)
            if parsed is None:
                continue
            if str(parsed) in used:
                log.error("the cluster IP %s is that of several Services, also of %s/%s", address, *owner)
            used[str(parsed)] = owner
    known = {obj["metadata"]["name"]: obj for obj in reader.list(IPADDRESSES)}
    for address, (namespace, name) in used.items():
        if address not in known:
            try:
                await clusterips.allocate(address, namespace=namespace, name=name, dry_run=False)
                log.warning("the cluster IP %s of %s/%s was not booked", address, namespace, name)
            except AllocationError as error:
                log.error("the cluster IP %s of %s/%s cannot be booked: %s", address, namespace, name, error)
    for address, obj in known.items():
        parent = (obj.get("spec") or {}).get("parentRef") or {}
        if parent.get("resource") == "services" and address not in used:
            log.warning("the IPAddress %s belongs to no Service; freeing it", address)
            await clusterips.release(address)
    await nodeports.replace(ports)
