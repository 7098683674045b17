"""What a pod asks of a node: resource requests as the scheduler counts them.

Amounts are integers in the units of the columns of ``NodeTable``: milli-CPUs for ``cpu``, whole units for the rest.
Source of the rules: KEP-753 (sidecar containers), KEP-1287 (in-place resize), KEP-2837 (pod-level resources), and
"Pod Overhead" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct, field

from steersman.meta.quantities import to_int, to_milli

Amounts = Mapping[str, int]

DEFAULT_MILLI_CPU = 100
"""What a container without a CPU request counts as where nodes are scored (upstream's non-zero request)."""
DEFAULT_MEMORY_BYTES = 200 * 1024 * 1024
"""What a container without a memory request counts as where nodes are scored."""

_NON_ZERO = {"cpu": DEFAULT_MILLI_CPU, "memory": DEFAULT_MEMORY_BYTES}
_NATIVE = frozenset({"cpu", "memory", "ephemeral-storage"})


class PodRequests(Struct, frozen=True, kw_only=True):
    """The effective request of one pod. ``pods`` is not among ``amounts``: every pod counts as one."""

    amounts: Amounts = field(default_factory=dict)
    non_zero_milli_cpu: int = DEFAULT_MILLI_CPU
    """CPU with ``DEFAULT_MILLI_CPU`` for each container that states none."""
    non_zero_memory_bytes: int = DEFAULT_MEMORY_BYTES
    of_containers: PodRequests | None = None
    """What the containers state, where the pod states requests itself; None where it does not."""

    @property
    def is_empty(self) -> bool:
        return not any(self.amounts.values())


def amount(resource: str, value: object) -> int:
    """A quantity as it stands in JSON, in the unit of the resource's column."""
    return to_milli(value) if resource == "cpu" else to_int(value)


def is_extended_resource(resource: str) -> bool:
    """Resources that are neither Kubernetes' own nor attachable volumes: ``example.com/gpu``."""
    if "/" not in resource or "kubernetes.io/" in resource:
        return False
    return not resource.startswith("requests.")


def is_pod_level_resource(resource: str) -> bool:
    """Resources that ``pod.spec.resources`` may state (KEP-2837)."""
    return resource in ("cpu", "memory") or resource.startswith("hugepages-")


def is_scheduled(resource: str) -> bool:
    """The scheduler counts this resource. Names without a domain, other than Kubernetes' own, count for nothing."""
    return resource in _NATIVE or "/" in resource or is_scalar_resource(resource)


def is_scalar_resource(resource: str) -> bool:
    """Anything but CPU, memory and ephemeral storage; it is scored only for pods that request it."""
    return resource not in _NATIVE and ("/" in resource or resource.startswith(("hugepages-", "attachable-volumes-")))


def pod_requests(pod: Mapping[str, Any]) -> PodRequests:
    """The effective request of ``pod``. Raises ``ValueError`` for a malformed quantity."""
    spec = pod.get("spec") or {}
    status = pod.get("status") or {}
    statuses = [
        [entry.get("name"), (entry.get("resources") or {}).get("requests"), entry.get("allocatedResources")]
        for entry in (*(status.get("containerStatuses") or ()), *(status.get("initContainerStatuses") or ()))
        if entry.get("resources")
    ]
    pod_level = (spec.get("resources") or {}).get("requests")
    shape = [
        [[entry.get("name") if statuses else "", (entry.get("resources") or {}).get("requests")]
         for entry in spec.get("containers") or ()],
        [[entry.get("name") if statuses else "", (entry.get("resources") or {}).get("requests"),
          entry.get("restartPolicy")] for entry in spec.get("initContainers") or ()],
        spec.get("overhead"),
        pod_level,
        statuses,
        [(status.get("resources") or {}).get("requests"), status.get("allocatedResources")]
        if pod_level and status.get("resources") else None,
        bool(statuses or pod_level) and _is_resize_infeasible(status),
    ]  # fmt: skip
    return _requests_of(msgspec.json.encode(shape))


def _is_resize_infeasible(status: Mapping[str, Any]) -> bool:
    return any(
        entry.get("type") == "PodResizePending" and entry.get("reason") == "Infeasible"
        for entry in status.get("conditions") or ()
    )


@lru_cache(maxsize=4096)
def _requests_of(encoded_shape: bytes) -> PodRequests:
    """Memoised by the shape alone: the ten-thousandth pod of a ReplicaSet costs a dictionary look-up."""
    containers, inits, overhead, pod_level, statuses, pod_status, infeasible = msgspec.json.decode(encoded_shape)
    by_name = {name: (actuated, allocated) for name, actuated, allocated in statuses}
    plain = _aggregate(containers, inits, by_name, infeasible, {})
    non_zero = _aggregate(containers, inits, by_name, infeasible, _NON_ZERO)
    of_containers = None
    if pod_level:
        of_containers = _with_overhead(dict(plain), dict(non_zero), overhead)
        stated = _amounts(pod_level)
        if pod_status is not None:
            stated = _effective(pod_level, pod_status[0], pod_status[1], infeasible)
        for total in (plain, non_zero):
            total.update({name: stated.get(name, 0) for name in pod_level if is_pod_level_resource(name)})
    return _with_overhead(plain, non_zero, overhead, of_containers)


def _with_overhead(
    plain: dict[str, int], non_zero: dict[str, int], overhead: Any, of_containers: PodRequests | None = None
) -> PodRequests:
    for total in (plain, non_zero):
        _add(total, _amounts(overhead))
    return PodRequests(
        amounts=plain,
        non_zero_milli_cpu=non_zero.get("cpu", 0),
        non_zero_memory_bytes=non_zero.get("memory", 0),
        of_containers=of_containers,
    )


def _aggregate(
    containers: Iterable[Any],
    inits: Iterable[Any],
    statuses: Mapping[str, tuple[Any, Any]],
    infeasible: bool,
    missing: Amounts,
) -> dict[str, int]:
    """Containers run together; init containers one by one, beside the sidecars that were started before them."""

    def request_of(name: str, requests: Mapping[str, Any] | None) -> dict[str, int]:
        stated = statuses.get(name)
        amounts = _amounts(requests) if stated is None else _effective(requests, stated[0], stated[1], infeasible)
        return {**missing, **amounts}

    total: dict[str, int] = {}
    for name, requests in containers:
        _add(total, request_of(name, requests))
    sidecars: dict[str, int] = {}
    largest: dict[str, int] = {}
    for name, requests, restart_policy in inits:
        if restart_policy == "Always":
            own = request_of(name, requests)
            _add(total, own)
            _add(sidecars, own)
            _raise_to(largest, sidecars)
        else:
            own = {**missing, **_amounts(requests)}
            _add(own, sidecars)
            _raise_to(largest, own)
    _raise_to(total, largest)
    return total


def _effective(
    spec: Mapping[str, Any] | None,
    actuated: Mapping[str, Any] | None,
    allocated: Mapping[str, Any] | None,
    infeasible: bool,
) -> dict[str, int]:
    """While a resize is under way the larger of what is wanted, what is allocated and what runs counts (KEP-1287)."""
    result = {} if infeasible else _amounts(spec)
    _raise_to(result, _amounts(actuated))
    _raise_to(result, _amounts(allocated))
    return result


def _amounts(requests: Mapping[str, Any] | None) -> dict[str, int]:
    return {name: amount(name, value) for name, value in (requests or {}).items()}


def _add(total: dict[str, int], more: Amounts) -> None:
    for name, value in more.items():
        total[name] = total.get(name, 0) + value


def _raise_to(total: dict[str, int], floor: Amounts) -> None:
    for name, value in floor.items():
        if value > total.get(name, 0):
            total[name] = value
