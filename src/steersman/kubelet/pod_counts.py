"""What the pods of a node are at this moment, counted at each scrape."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from steersman.kubelet.volume_stats import VolumeUsage
from steersman.kubelet.volumes.plugin_names import plugin_name


class PodState(Struct, frozen=True, kw_only=True):
    """What counting pods needs of one of them."""

    lifecycle: str
    """``sync``, ``terminating`` or ``terminated``."""
    static: bool
    is_active: bool
    sandbox_runs: bool
    containers: tuple[str, ...] = ()
    """Their states at the runtime."""
    ephemeral_containers: int = 0
    namespace: str = ""
    volumes: tuple[VolumeUsage, ...] = ()
    volume_kinds: tuple[str, ...] = ()
    """Fields of its volumes' sources."""
    mounted_kinds: tuple[str, ...] = ()
    pending_resize: str = ""
    """``deferred`` or ``infeasible``."""
    is_resizing: bool = False


_STATES: Final[Mapping[str, str]] = {
    "RUNNING": "running", "EXITED": "exited", "CREATED": "created", "UNKNOWN": "unknown"
}  # fmt: skip
_VOLUME_FAMILIES: Final = (
    ("capacity_bytes", "Capacity in bytes of the volume", "capacity_bytes"),
    ("available_bytes", "Number of available bytes in the volume", "available_bytes"),
    ("used_bytes", "Number of used bytes in the volume", "used_bytes"),
    ("inodes", "Maximum number of inodes in the volume", "inodes"),
    ("inodes_free", "Number of free inodes in the volume", "inodes_free"),
    ("inodes_used", "Number of used inodes in the volume", "inodes_used"),
)


class PodCounts(Collector):
    """How many pods and containers there are, and how full the volumes behind claims are, at each scrape."""

    def __init__(self, pods: Callable[[], Iterable[PodState]]) -> None:
        self._pods = pods

    def collect(self) -> Iterator[Metric]:
        states = list(self._pods())
        yield _single(
            "kubelet_running_pods", "Number of pods that have a running pod sandbox",
            sum(state.sandbox_runs for state in states),
        )  # fmt: skip
        containers = Tally(_STATES[kind] for state in states for kind in state.containers)
        yield _labelled(
            "kubelet_running_containers", "Number of containers currently running", ("container_state",),
            {(kind,): number for kind, number in containers.items()},
        )  # fmt: skip
        yield _by_source(
            "kubelet_desired_pods",
            "The number of pods the kubelet is being instructed to run. static is true if the pod is not from the"
            " apiserver.",
            states,
        )
        yield _by_source(
            "kubelet_active_pods",
            "The number of pods the kubelet considers active and which are being considered when admitting new pods."
            " static is true if the pod is not from the apiserver.",
            [state for state in states if state.is_active],
        )
        yield _single(
            "kubelet_mirror_pods",
            "The number of mirror pods the kubelet will try to create (one per admitted static pod)",
            sum(state.static for state in states),
        )
        working = Tally((state.lifecycle, "desired", _static(state)) for state in states)
        yield _labelled(
            "kubelet_working_pods",
            "Number of pods the kubelet is actually running, broken down by lifecycle phase, whether the pod is desired,"
            " orphaned, or runtime only (also orphaned), and whether the pod is static.",
            ("lifecycle", "config", "static"),
            working,
        )
        yield _single(
            "kubelet_managed_ephemeral_containers",
            "Current number of ephemeral containers in pods managed by this kubelet.",
            sum(state.ephemeral_containers for state in states),
        )
        yield from _volumes(states)
        yield from _resizes(states)


def _volumes(states: Iterable[PodState]) -> Iterator[Metric]:
    claims = {
        (state.namespace, volume.claim): volume.disk for state in states for volume in state.volumes if volume.claim
    }
    for name, text, field in _VOLUME_FAMILIES:
        yield _labelled(
            f"kubelet_volume_stats_{name}", text, ("namespace", "persistentvolumeclaim"),
            {key: getattr(disk, field) for key, disk in claims.items()},
        )  # fmt: skip
    yield _labelled(
        "volume_manager_total_volumes", "Number of volumes in Volume Manager", ("plugin_name", "state"),
        Tally(
            (plugin_name(kind), world)
            for state in states
            for world, kinds in (
                ("desired_state_of_world", state.volume_kinds), ("actual_state_of_world", state.mounted_kinds)
            )
            for kind in kinds
        ),
    )  # fmt: skip


def _resizes(states: Iterable[PodState]) -> Iterator[Metric]:
    yield _labelled(
        "kubelet_pod_pending_resizes", "Number of pending resizes for pods.", ("reason",),
        Tally((state.pending_resize,) for state in states if state.pending_resize),
    )  # fmt: skip
    yield _single(
        "kubelet_pod_in_progress_resizes", "Number of in-progress resizes for pods.",
        sum(state.is_resizing for state in states),
    )  # fmt: skip


def _by_source(name: str, text: str, states: Iterable[PodState]) -> Metric:
    tally = Tally(_static(state) for state in states)
    return _labelled(name, text, ("static",), {(flag,): tally.get(flag, 0) for flag in ("", "true")})


def _static(state: PodState) -> str:
    return "true" if state.static else ""


def _single(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _labelled(name: str, text: str, labels: tuple[str, ...], values: Mapping[tuple[Any, ...], float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family
