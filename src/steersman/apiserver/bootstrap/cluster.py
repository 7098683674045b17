"""What every cluster has from its first moment: namespaces, the service network, RBAC policy, priority classes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from steersman.apiserver.authn.legacytokens import tracking_since
from steersman.apiserver.bootstrap.policy import bootstrap_objects, reconciled
from steersman.client.api import Client
from steersman.meta.errors import AlreadyExists, Conflict, NotFound
from steersman.meta.objects import Object, name, namespace
from steersman.meta.resources import CONFIGMAPS, NAMESPACES, PRIORITYCLASSES, SERVICECIDRS, Resource

SYSTEM_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease", "default")
_CLUSTER_CRITICAL = 2_000_000_000
_NODE_CRITICAL = _CLUSTER_CRITICAL + 1000
PRIORITY_CLASSES: Sequence[Object] = (
    {
        "metadata": {"name": "system-node-critical"},
        "value": _NODE_CRITICAL,
        "description": "Used for system critical pods that must not be moved from their current node.",
    },
    {
        "metadata": {"name": "system-cluster-critical"},
        "value": _CLUSTER_CRITICAL,
        "description": "Used for system critical pods that must run in the cluster, but can be moved to another node if "
        "necessary.",
    },
)


async def bootstrap(client: Client, *, service_cidrs: Sequence[str], with_rbac: bool, now_s: float) -> None:
    """Make what is missing, bring the policy up to date; all of one kind at once, so that they share commits."""
    await asyncio.gather(*(_ensure(client, NAMESPACES, {"metadata": {"name": name}}) for name in SYSTEM_NAMESPACES))
    cidrs = {"metadata": {"name": "kubernetes"}, "spec": {"cidrs": list(service_cidrs)}}
    rows: list[tuple[Resource, Object]] = [(PRIORITYCLASSES, obj) for obj in PRIORITY_CLASSES]
    rows.append((CONFIGMAPS, tracking_since(now_s)))
    if with_rbac:
        rows += bootstrap_objects()
    await asyncio.gather(
        _ensure_service_cidr(client, cidrs),
        *(_ensure(client, resource, obj) for resource, obj in rows),
    )


async def _ensure(client: Client, resource: Resource, wanted: Object) -> None:
    try:
        current = await client.get(resource, name(wanted), namespace=namespace(wanted))
    except NotFound:
        try:
            await client.create(resource, wanted)
        except AlreadyExists:
            return
        return
    if "roleRef" in wanted or "rules" in wanted or "aggregationRule" in wanted:
        changed = reconciled(current, wanted)
        if changed is not None:
            try:
                await client.update(resource, changed)
            except Conflict:
                await _ensure(client, resource, wanted)


async def _ensure_service_cidr(client: Client, wanted: Object) -> None:
    """The default ServiceCIDR, Ready from the start."""
    await _ensure(client, SERVICECIDRS, wanted)
    current = await client.get(SERVICECIDRS, name(wanted))
    if (current.get("status") or {}).get("conditions"):
        return
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "",
        "message": "Kubernetes default Service CIDR is ready",
        "lastTransitionTime": current["metadata"]["creationTimestamp"],
    }
    try:
        await client.update(SERVICECIDRS, {**current, "status": {"conditions": [ready]}}, subresource="status")
    except Conflict:
        await _ensure_service_cidr(client, wanted)  # another server that starts was quicker
