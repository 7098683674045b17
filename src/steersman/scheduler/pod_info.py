"""A pod as the scheduler sees it: what matters for placing it, parsed once.

Parsing is on the hot path (every pod passes here at least once), so all that pods of one template have in common is
memoised by its JSON, and two pods that no plugin could tell apart get the same ``signature``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.times import parse_time
from steersman.scheduler.affinity import (
    PodTerms,
    PreferredNodeTerm,
    RequiredNodeAffinity,
    pod_terms,
    preferred_node_terms,
    required_node_affinity,
)
from steersman.scheduler.pod_requests import PodRequests, pod_requests
from steersman.scheduler.taints import Tolerations, tolerations_of

DEFAULT_SCHEDULER_NAME = "default-scheduler"

Labels = frozenset[tuple[str, str]]


class HostPort(Struct, frozen=True, kw_only=True):
    """A port of the node that a container wants. ``address`` is ``0.0.0.0`` where the pod names none."""

    protocol: str
    port: int
    address: str


class PodTemplate(Struct, frozen=True, kw_only=True):
    """What pods made from one template share, as far as scheduling goes."""

    tolerations: Tolerations
    node_affinity: RequiredNodeAffinity
    preferred_nodes: tuple[PreferredNodeTerm, ...]
    host_ports: tuple[HostPort, ...]
    images: tuple[str, ...]
    """Of init containers, containers and image volumes, with a tag or digest; repeated as often as used."""
    container_count: int
    spread_constraints: tuple[Mapping[str, Any], ...]
    disks: tuple[Mapping[str, Any], ...]
    """In-line volumes that a node or the cluster may not mount twice."""
    required_features: frozenset[str]
    """What the kubelet must declare that it can do."""


class PodInfo(Struct, frozen=True, kw_only=True, eq=False):
    """One pod. Compare by identity; ``uid`` names the pod across its versions."""

    obj: Object
    uid: str
    key: str
    name: str
    namespace: str
    labels: Mapping[str, str]
    label_set: Labels
    scheduler_name: str
    node_name: str
    nominated_node: str
    priority: int
    preempts: bool
    """``preemptionPolicy`` is not Never."""
    is_terminating: bool
    is_gated: bool
    requests: PodRequests
    template: PodTemplate
    terms: PodTerms
    claims: tuple[str, ...]
    """Names of PersistentVolumeClaims, those of ephemeral volumes included."""
    signature: bytes
    """Equal for pods that every plugin treats alike while the cluster does not change."""


def is_terminal(pod: Mapping[str, Any]) -> bool:
    """Succeeded and failed pods hold nothing on their node."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def parse_pod(pod: Object) -> PodInfo:
    """Raises ``ValueError`` for malformed quantities."""
    metadata = pod["metadata"]
    spec = pod.get("spec") or {}
    status = pod.get("status") or {}
    labels: Mapping[str, str] = metadata.get("labels") or {}
    namespace = str(metadata.get("namespace") or "")
    name = str(metadata.get("name") or "")
    shape = msgspec.json.encode(_template_shape(spec))
    requests = pod_requests(pod)
    claims = _claims(spec.get("volumes"), name)
    affinity = spec.get("affinity")
    owner = objects.controller_of(pod)
    signature = msgspec.json.encode(
        [
            namespace, labels, requests.amounts, requests.non_zero_milli_cpu, requests.non_zero_memory_bytes,
            affinity, claims, spec.get("nodeName"), spec.get("priority"),
            owner and [owner.get("kind"), owner.get("name")], spec.get("schedulerName"),
        ]
    )  # fmt: skip
    return PodInfo(
        obj=pod,
        uid=str(metadata.get("uid") or f"{namespace}/{name}"),
        key=f"{namespace}/{name}" if namespace else name,
        name=name,
        namespace=namespace,
        labels=labels,
        label_set=frozenset(labels.items()),
        scheduler_name=spec.get("schedulerName") or DEFAULT_SCHEDULER_NAME,
        node_name=spec.get("nodeName") or "",
        nominated_node=status.get("nominatedNodeName") or "",
        priority=int(spec.get("priority") or 0),
        preempts=spec.get("preemptionPolicy") != "Never",
        is_terminating=bool(metadata.get("deletionTimestamp")),
        is_gated=bool(spec.get("schedulingGates")),
        requests=requests,
        template=_template_of(shape),
        terms=pod_terms(affinity, namespace, labels) if affinity else pod_terms(None, namespace, labels),
        claims=claims,
        signature=signature + shape,
    )


def started_at(pod: PodInfo) -> float:
    """When the pod began to run, in seconds since the epoch; of one that has not, now and forever later."""
    start_time = (pod.obj.get("status") or {}).get("startTime")
    return parse_time(start_time) if start_time else float("inf")


def normalized_image(name: str) -> str:
    """With the tag ``latest`` where neither tag nor digest is stated, as the kubelet reports images."""
    return f"{name}:latest" if name.rfind(":") <= name.rfind("/") else name


def _template_shape(spec: Mapping[str, Any]) -> list[Any]:
    node_affinity = (spec.get("affinity") or {}).get("nodeAffinity")
    host_network = bool(spec.get("hostNetwork"))
    return [
        spec.get("tolerations"),
        spec.get("nodeSelector"),
        node_affinity,
        [_container_shape(container, host_network) for container in spec.get("containers") or ()],
        [_container_shape(container, host_network) for container in spec.get("initContainers") or ()],
        spec.get("topologySpreadConstraints"),
        [volume for volume in spec.get("volumes") or () if not _NO_DISK_KEYS.issuperset(volume)],
        sorted(required_features(spec)),
    ]


def required_features(spec: Mapping[str, Any]) -> frozenset[str]:
    """Features of the kubelet without which the pod cannot run as it says, of those that kubelets declare."""
    found = []
    if spec.get("hostNetwork") and spec.get("hostUsers") is False:
        found.append("UserNamespacesHostNetworkSupport")
    for container in (*(spec.get("containers") or ()), *(spec.get("initContainers") or ())):
        rules = container.get("restartPolicyRules")
        if rules and any(rule.get("action") == "RestartAllContainers" for rule in rules):
            found.append("RestartAllContainersOnContainerExits")
            break
    return frozenset(found)


_NO_DISK_KEYS = frozenset(
    {
        "name", "emptyDir", "configMap", "secret", "projected", "downwardAPI", "hostPath", "persistentVolumeClaim",
        "ephemeral", "csi", "nfs", "cephfs", "glusterfs", "fc", "flexVolume", "azureFile", "gitRepo",
    }
)  # fmt: skip
"""Volumes that need no check of their own; ``iscsi``, ``rbd``, the disks of clouds and ``image`` do."""


def _container_shape(container: Mapping[str, Any], host_network: bool) -> list[Any]:
    ports = container.get("ports")
    wanted = None
    if ports:
        wanted = [
            [entry.get("protocol") or "TCP", entry.get("hostPort") or (host_network and entry.get("containerPort")),
             entry.get("hostIP") or "0.0.0.0"]
            for entry in ports if entry.get("hostPort") or host_network
        ]  # fmt: skip
    return [container.get("image") or "", container.get("restartPolicy"), wanted]


@lru_cache(maxsize=4096)
def _template_of(shape: bytes) -> PodTemplate:
    tolerations, node_selector, node_affinity, containers, inits, spread, volumes, features = msgspec.json.decode(shape)
    sidecars = [entry for entry in inits if entry[1] == "Always"]
    volume_images = [volume["image"].get("reference") or "" for volume in volumes if volume.get("image")]
    return PodTemplate(
        tolerations=tolerations_of(tolerations or ()),
        node_affinity=required_node_affinity(
            {"nodeSelector": node_selector, "affinity": {"nodeAffinity": node_affinity}}
        ),
        preferred_nodes=preferred_node_terms(node_affinity or {}),
        host_ports=tuple(_host_ports([*containers, *sidecars])),
        images=tuple(
            normalized_image(image) for image in (*(entry[0] for entry in (*inits, *containers)), *volume_images)
        ),
        container_count=len(containers) + len(inits),
        spread_constraints=tuple(spread or ()),
        disks=tuple(volume for volume in volumes if not volume.get("image")),
        required_features=frozenset(features),
    )


def _host_ports(containers: Iterable[Any]) -> Iterable[HostPort]:
    for _, _, ports in containers:
        for protocol, port, address in ports or ():
            if port:
                yield HostPort(protocol=protocol, port=int(port), address=address)


def _claims(volumes: Iterable[Mapping[str, Any]] | None, pod_name: str) -> tuple[str, ...]:
    if not volumes:
        return ()
    names: list[str] = []
    for volume in volumes:
        if claim := volume.get("persistentVolumeClaim"):
            names.append(str(claim.get("claimName") or ""))
        elif volume.get("ephemeral") is not None:
            names.append(f"{pod_name}-{volume.get('name')}")
    return tuple(names)
