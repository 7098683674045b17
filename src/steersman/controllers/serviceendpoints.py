"""Which pods stand behind a Service, and under which addresses and ports: what Endpoints and EndpointSlices have in common."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from steersman.client.informer import Change, Informer
from steersman.controllers import pods as podstate
from steersman.meta import objects
from steersman.meta.objects import Object

HEADLESS_LABEL = "service.kubernetes.io/headless"
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"


def by_label(pod: Object) -> Iterable[str]:
    """Index: each label of the pod, in its namespace."""
    namespace = objects.namespace(pod)
    return [f"{namespace}/{key}={text}" for key, text in objects.labels(pod).items()]


def by_selector(service: Object) -> Iterable[str]:
    """Index: the first label that the Service selects by; pods that match have it."""
    selector = service["spec"].get("selector")
    if not selector:
        return ()
    key = min(selector)
    return (f"{objects.namespace(service)}/{key}={selector[key]}",)


def pods_of(service: Object, pods: Informer) -> list[Object]:
    """The pods that the Service selects, from an informer indexed by ``by_label``."""
    namespace, selector = objects.namespace(service), service["spec"]["selector"]
    fewest = min((pods.by_index("label", f"{namespace}/{key}={text}") for key, text in selector.items()), key=len)
    if len(selector) == 1:
        return fewest
    return [pod for pod in fewest if _selects(selector, objects.labels(pod))]


def services_of(pod: Object, services: Informer) -> set[str]:
    """Keys of the Services that select ``pod``, from an informer indexed by ``by_selector``."""
    labels, namespace = objects.labels(pod), objects.namespace(pod)
    return {
        objects.key_of(service)
        for key, text in labels.items()
        for service in services.by_index("selector", f"{namespace}/{key}={text}")
        if _selects(service["spec"]["selector"], labels)
    }


def _selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(labels.get(key) == text for key, text in selector.items())


def concerned_services(change: Change, services: Informer) -> Iterable[str]:
    """Keys of the Services whose endpoints a change of a pod may change."""
    old, new = change.old, change.new
    if old is None or new is None:
        return services_of(change.object, services)
    labels_changed = objects.labels(old) != objects.labels(new)
    if not labels_changed and _facts(old) == _facts(new):
        return ()
    found = services_of(new, services)
    return found | services_of(old, services) if labels_changed else found


def _facts(pod: Object) -> tuple[Any, ...]:
    """Everything of a pod that an endpoint shows."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    return (
        objects.uid(pod),
        objects.is_deleting(pod),
        podstate.is_ready(pod),
        podstate.is_finished(pod),
        spec.get("nodeName"),
        spec.get("hostname"),
        spec.get("subdomain"),
        status.get("podIPs"),
        status.get("podIP"),
    )


def addresses_of(pod: Mapping[str, Any]) -> list[str]:
    status = pod.get("status") or {}
    found = [entry["ip"] for entry in status.get("podIPs") or () if entry.get("ip")]
    return found or ([status["podIP"]] if status.get("podIP") else [])


def may_be_endpoint(pod: Mapping[str, Any], *, terminating_too: bool) -> bool:
    """It has an address and has not ended; with ``terminating_too`` it may be on its way out."""
    if podstate.is_finished(pod) or not addresses_of(pod):
        return False
    return terminating_too or not objects.is_deleting(pod)


@lru_cache(maxsize=65536)
def family(address: str) -> str:
    """IPv4 or IPv6."""
    return f"IPv{ipaddress.ip_address(address).version}"


def families_of(service: Mapping[str, Any]) -> Sequence[str]:
    """The Service's IP families; that of its address, or both, where the server did not say."""
    spec = service["spec"]
    if spec.get("ipFamilies"):
        families: Sequence[str] = spec["ipFamilies"]
        return families
    address = spec.get("clusterIP")
    return (family(address),) if address and address != "None" else ("IPv4", "IPv6")


def is_headless(service: Mapping[str, Any]) -> bool:
    return service["spec"].get("clusterIP") in (None, "", "None")


def hostname_of(pod: Mapping[str, Any], service: Mapping[str, Any]) -> str:
    """The name under which DNS knows the pod below this Service; empty where it has none."""
    spec = pod.get("spec") or {}
    if spec.get("hostname") and spec.get("subdomain") == objects.name(service):
        return str(spec["hostname"])
    return ""


def port_of(pod: Mapping[str, Any], service_port: Mapping[str, Any]) -> int | None:
    """The number of the pod's port that a Service's port leads to; None where the pod has no port of that name."""
    target = service_port.get("targetPort", service_port["port"])
    if isinstance(target, int):
        return target
    spec = pod.get("spec") or {}
    sidecars = (entry for entry in spec.get("initContainers") or () if entry.get("restartPolicy") == "Always")
    for container in [*(spec.get("containers") or ()), *sidecars]:
        for port in container.get("ports") or ():
            same_protocol = port.get("protocol", "TCP") == service_port.get("protocol", "TCP")
            if port.get("name") == target and same_protocol:
                return int(port["containerPort"])
    return None


def target_of(pod: Mapping[str, Any]) -> Object:
    return {
        "kind": "Pod",
        "namespace": objects.namespace(pod),
        "name": objects.name(pod),
        "uid": objects.uid(pod),
    }


class TriggerTimes:
    """When the change happened that a write of endpoints answers to; slow networks are measured by it.

    Per Service the Ready transitions of its pods are remembered; the earliest that is new since the last reconcile counts.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, dict[str, tuple[Object, str]]]] = {}

    def of(self, service: Object, pods: Iterable[Object]) -> str | None:
        """RFC 3339; None where nothing is new. Times of whole seconds in UTC sort as text."""
        key = objects.key_of(service)
        created = str(objects.metadata(service).get("creationTimestamp") or "")
        known_created, known = self._seen.get(key, ("", {}))
        seen, fresh = {}, [] if created == known_created else [created]
        for pod in pods:
            uid = pod["metadata"]["uid"]
            last = known.get(uid)
            if last is None or last[0] is not pod:
                at = _transition(pod)
                if at > (last[1] if last is not None else ""):
                    fresh.append(at)
                last = (pod, at)
            seen[uid] = last
        self._seen[key] = (created, seen)
        return min(fresh, default=None)

    def forget(self, key: str) -> None:
        self._seen.pop(key, None)


def _transition(pod: Object) -> str:
    """When the Ready condition changed last; empty where it has not."""
    for entry in (pod.get("status") or {}).get("conditions") or ():
        if entry["type"] == "Ready":
            return str(entry.get("lastTransitionTime") or "")
    return ""
