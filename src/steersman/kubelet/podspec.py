"""Views on a pod's spec: which containers it has, of which kind, and when one of them may run again."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.quantities import quantity

ContainerKind = Literal["init", "sidecar", "app", "ephemeral"]
"""``sidecar`` is an init container that restarts always: it starts in the order of the init containers and stays."""

CONFIG_SOURCE = "kubernetes.io/config.source"
CONFIG_HASH = "kubernetes.io/config.hash"
CONFIG_MIRROR = "kubernetes.io/config.mirror"
CONFIG_SEEN = "kubernetes.io/config.seen"

SYSTEM_CRITICAL_PRIORITY = 2_000_000_000
DEFAULT_GRACE_S = 30
MINIMUM_GRACE_S = 2
"""Every container gets this long between its stop signal and SIGKILL, whatever its pod says (upstream's kuberuntime)."""

_FNV_OFFSET = 0x811C9DC5
_FNV_PRIME = 0x01000193


class PodContainer(Struct, frozen=True, kw_only=True):
    """One container of a pod, with what its place in the spec says about it."""

    name: str
    kind: ContainerKind
    index: int
    """Position in its own list of the spec."""
    spec: Object

    @property
    def stays(self) -> bool:
        """It is meant to run as long as the pod does."""
        return self.kind in ("sidecar", "app")


def containers(pod: Mapping[str, Any]) -> Iterator[PodContainer]:
    """Every container: init containers and sidecars, then app, then ephemeral ones, each in the spec's order."""
    yield from init_containers(pod)
    yield from app_containers(pod)
    yield from ephemeral_containers(pod)


def init_containers(pod: Mapping[str, Any]) -> Iterator[PodContainer]:
    """Init containers and sidecars."""
    for index, container in enumerate(pod["spec"].get("initContainers") or ()):
        kind: ContainerKind = "sidecar" if container.get("restartPolicy") == "Always" else "init"
        yield PodContainer(name=container["name"], kind=kind, index=index, spec=container)


def app_containers(pod: Mapping[str, Any]) -> Iterator[PodContainer]:
    for index, container in enumerate(pod["spec"].get("containers") or ()):
        yield PodContainer(name=container["name"], kind="app", index=index, spec=container)


def ephemeral_containers(pod: Mapping[str, Any]) -> Iterator[PodContainer]:
    for index, container in enumerate(pod["spec"].get("ephemeralContainers") or ()):
        yield PodContainer(name=container["name"], kind="ephemeral", index=index, spec=container)


def find_container(pod: Mapping[str, Any], name: str) -> PodContainer | None:
    return next((container for container in containers(pod) if container.name == name), None)


def restart_policy(pod: Mapping[str, Any], container: PodContainer) -> str:
    """``Always``, ``OnFailure`` or ``Never``: the container's own (sidecars, KEP-5307) or the pod's."""
    if container.kind == "ephemeral":
        return "Never"
    return str(container.spec.get("restartPolicy") or pod["spec"].get("restartPolicy") or "Always")


def restart_rule(container: PodContainer, exit_code: int) -> Object | None:
    """The first of the container's ``restartPolicyRules`` (KEP-5307) that matches ``exit_code``."""
    for rule in container.spec.get("restartPolicyRules") or ():
        condition = rule.get("exitCodes") or {}
        listed = exit_code in (condition.get("values") or ())
        if condition.get("operator") == ("In" if listed else "NotIn"):
            found: Object = rule
            return found
    return None


def restarts_after(pod: Mapping[str, Any], container: PodContainer, exit_code: int) -> bool:
    """An exit with ``exit_code`` is followed by another start, the pod's deletion apart."""
    rule = restart_rule(container, exit_code) if container.spec.get("restartPolicy") else None
    if rule is not None and rule.get("action") in ("Restart", "RestartAllContainers"):
        return True
    policy = restart_policy(pod, container)
    if container.kind == "init" and policy == "Always":
        policy = "OnFailure"
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def spec_hash(container: Mapping[str, Any]) -> str:
    """Changes when a running container has to be replaced: its image is the only field a pod update may change."""
    value = _FNV_OFFSET
    for byte in msgspec.json.encode({"image": container.get("image", ""), "name": container["name"]}):
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return f"{value:x}"


def is_host_network(pod: Mapping[str, Any]) -> bool:
    return bool(pod["spec"].get("hostNetwork"))


def is_static(pod: Mapping[str, Any]) -> bool:
    """From a file or a URL rather than from the API server."""
    return objects.annotations(pod).get(CONFIG_SOURCE, "api") != "api"


def is_mirror(pod: Mapping[str, Any]) -> bool:
    """The API server's reflection of a static pod."""
    return CONFIG_MIRROR in objects.annotations(pod)


def is_critical(pod: Mapping[str, Any]) -> bool:
    """It is never evicted, and starts on a node under pressure too: static, or of a system-critical priority."""
    return is_static(pod) or is_mirror(pod) or int(pod["spec"].get("priority") or 0) >= SYSTEM_CRITICAL_PRIORITY


def full_name(pod: Mapping[str, Any]) -> str:
    """``name_namespace(uid)`` as upstream prints a pod in messages."""
    return f"{objects.name(pod)}_{objects.namespace(pod)}({objects.uid(pod)})"


def grace_period_s(pod: Mapping[str, Any], container: Mapping[str, Any], probe: str = "") -> float:
    """How long the container may take to stop. ``probe`` (``livenessProbe``…) names the one whose failure stops it."""
    deletion = objects.metadata(pod).get("deletionGracePeriodSeconds")
    if deletion is not None:
        return float(deletion)
    own = (container.get(probe) or {}).get("terminationGracePeriodSeconds") if probe else None
    if own is not None:
        return float(own)
    configured = pod["spec"].get("terminationGracePeriodSeconds")
    return float(MINIMUM_GRACE_S if configured is None else configured)


def qos_class(pod: Mapping[str, Any]) -> str:
    """``Guaranteed``, ``Burstable`` or ``BestEffort`` (the API concept page on pod QoS)."""
    stored = (pod.get("status") or {}).get("qosClass")
    return str(stored) if stored else _qos_class(pod["spec"])


def _qos_class(spec: Mapping[str, Any]) -> str:
    pod_level = spec.get("resources") or {}
    sources = (
        [pod_level]
        if pod_level.get("requests") or pod_level.get("limits")
        else [
            container.get("resources") or {}
            for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
        ]
    )
    any_set = False
    guaranteed = True
    for resources in sources:
        requests, limits = resources.get("requests") or {}, resources.get("limits") or {}
        for name in ("cpu", "memory"):
            limit = quantity(limits[name]) if name in limits else 0
            request = quantity(requests[name]) if name in requests else limit
            any_set = any_set or bool(limit) or bool(request)
            guaranteed = guaranteed and bool(limit) and request == limit
    if not any_set:
        return "BestEffort"
    return "Guaranteed" if guaranteed else "Burstable"


def addresses(pod: Mapping[str, Any], ips: Sequence[str], host_ips: Sequence[str]) -> tuple[str, ...]:
    """The pod's, those of the family of the node's first one in front; ``ips``: as its sandbox has them."""
    if is_host_network(pod):
        return tuple(host_ips)
    if not host_ips or len(ips) < 2:
        return tuple(ips)
    wanted = ipaddress.ip_address(host_ips[0]).version
    return tuple(sorted(ips, key=lambda ip: ipaddress.ip_address(ip).version != wanted))
