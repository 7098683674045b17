"""Fields behind feature gates that are off by default in v1.36: they are known, and dropped from what is written.

Source: ``+featureGate`` markers of upstream's types, and what its strategies drop on create and update. Such a field is kept
where the stored object has it in use already, so that a cluster that once had its gate on keeps its objects writable.
Fields of this kind are validated after they are dropped, and strict field validation has nothing against them. Managed
fields name who sent them all the same, as upstream's, which are counted up before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from steersman.meta.objects import Object

_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
_STATUSES = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")

Steps = tuple[str, ...]


class GatedField(Struct, frozen=True, kw_only=True):
    """What one gate hides of a kind. Paths are dotted; ``[]`` steps into each item of a list, ``{}`` into each value of a map."""

    gate: str
    """Off by default, or gone together with what it stood for."""
    paths: Sequence[str]
    """The field, or the fields that stand and fall together: one of them in the old object keeps them all."""
    drops: str = ""
    """What goes where it is more than the field itself, and what has to be in use for that to stay."""
    allows_empty_text: bool = False
    """``""`` is as good as absent."""
    empties: bool = False
    """The object around the field goes too where nothing is left in it."""


def _of_pod_spec(at: str) -> tuple[GatedField, ...]:
    """``at``: path of the pod's specification."""
    sources = f"{at}.volumes.[].projected.sources.[]"
    return (
        GatedField(gate="GenericWorkload", paths=(f"{at}.schedulingGroup",)),
        GatedField(
            gate="ContainerStopSignals",
            paths=tuple(f"{at}.{group}.[].lifecycle.stopSignal" for group in _CONTAINERS),
            empties=True,
        ),
        GatedField(gate="ClusterTrustBundleProjection", paths=(f"{sources}.clusterTrustBundle",)),
        GatedField(gate="PodCertificateRequest", paths=(f"{sources}.podCertificate",)),
    )


_TEMPLATES = {
    "io.k8s.api.core.v1.PodTemplate": "template.spec",
    "io.k8s.api.core.v1.ReplicationController": "spec.template.spec",
    "io.k8s.api.apps.v1.DaemonSet": "spec.template.spec",
    "io.k8s.api.apps.v1.Deployment": "spec.template.spec",
    "io.k8s.api.apps.v1.ReplicaSet": "spec.template.spec",
    "io.k8s.api.apps.v1.StatefulSet": "spec.template.spec",
    "io.k8s.api.batch.v1.CronJob": "spec.jobTemplate.spec.template.spec",
    "io.k8s.api.batch.v1.Job": "spec.template.spec",
}
_OWN: Mapping[str, tuple[GatedField, ...]] = {
    "io.k8s.api.core.v1.Pod": (
        *_of_pod_spec("spec"),
        GatedField(gate="DRANodeAllocatableResources", paths=("status.nodeAllocatableResourceClaimStatuses",)),
        GatedField(
            gate="ImageVolumeWithDigest",
            paths=tuple(f"status.{group}.[].volumeMounts.[].volumeStatus" for group in _STATUSES),
        ),
    ),
    "io.k8s.api.core.v1.Node": (
        GatedField(gate="DynamicKubeletConfig", paths=("spec.configSource",)),
        GatedField(gate="DynamicKubeletConfig", paths=("status.config",)),
    ),
    "io.k8s.api.core.v1.PersistentVolumeClaim": (
        GatedField(
            gate="CrossNamespaceVolumeDataSource",
            paths=("spec.dataSourceRef.namespace",),
            drops="spec.dataSourceRef",
            allows_empty_text=True,
        ),
    ),
    "io.k8s.api.apps.v1.StatefulSet": (
        GatedField(gate="MaxUnavailableStatefulSet", paths=("spec.updateStrategy.rollingUpdate.maxUnavailable",)),
    ),
    "io.k8s.api.coordination.v1.Lease": (
        GatedField(gate="CoordinatedLeaderElection", paths=("spec.strategy",)),
        GatedField(gate="CoordinatedLeaderElection", paths=("spec.preferredHolder",)),
    ),
    "io.k8s.api.storage.v1.CSIDriver": (
        GatedField(gate="VolumeLimitScaling", paths=("spec.preventPodSchedulingIfMissing",)),
    ),
    "io.k8s.api.resource.v1.ResourceSlice": (
        GatedField(gate="DRANodeAllocatableResources", paths=("spec.devices.[].nodeAllocatableResourceMappings",)),
        GatedField(
            gate="DRAListTypeAttributes",
            paths=tuple(f"spec.devices.[].attributes.{{}}.{name}" for name in ("ints", "bools", "strings", "versions")),
        ),
    ),
}
GATED_FIELDS: Mapping[str, tuple[GatedField, ...]] = {
    definition: (
        *_OWN.get(definition, ()),
        *(_of_pod_spec(_TEMPLATES[definition]) if definition in _TEMPLATES else ()),
    )
    for definition in (*_OWN, *_TEMPLATES)
}
"""By definition of the kind."""

_Row = tuple[GatedField, tuple[Steps, ...]]
_COMPILED: Mapping[str, Mapping[str, tuple[_Row, ...]]] = {
    definition: {
        root: tuple(
            (row, tuple(tuple(path.split(".")[1:]) for path in row.paths))
            for row in rows
            if row.paths[0].partition(".")[0] == root
        )
        for root in {row.paths[0].partition(".")[0]: None for row in rows}
    }
    for definition, rows in GATED_FIELDS.items()
}
"""By definition and top level field, so that a part that is not written is not looked at."""


def drop_gated_fields(definition: str, new: Object, old: Object | None) -> None:
    """Take out of ``new`` what no gate lets in. Its top level is the caller's own; what lies deeper is shared and replaced."""
    roots = _COMPILED.get(definition)
    if roots is None:
        return
    for root, rows in roots.items():
        value = new.get(root)
        before = None if old is None else old.get(root)
        if value is None or value is before:
            continue
        for row, paths in rows:
            if any(_has(value, path, but="" if row.allows_empty_text else None) for path in paths) and not _is_in_use(
                row, paths, before
            ):
                value = new[root] = _without(row, paths, value)


def _is_in_use(row: GatedField, paths: Sequence[Steps], before: Any) -> bool:
    if before is None:
        return False
    if row.drops:
        return _has(before, tuple(row.drops.split(".")[1:]))
    return any(_has(before, path) for path in paths)


def _has(value: Any, steps: Steps, but: str | None = None) -> bool:
    """Whether something is at the end of the path; ``but``: this is nothing either."""
    for index, step in enumerate(steps):
        if step == "[]":
            return any(_has(item, steps[index + 1 :], but) for item in value)
        if step == "{}":
            return any(_has(item, steps[index + 1 :], but) for item in value.values())
        value = value.get(step)
        if value is None:
            return False
    return but is None or value != but


def _without(row: GatedField, paths: Sequence[Steps], value: Any) -> Any:
    for path in (tuple(row.drops.split(".")[1:]),) if row.drops else paths:
        value = _cut(value, path, empties=row.empties)
    return value


def _cut(value: Any, steps: Steps, *, empties: bool) -> Any:
    """A copy of ``value`` without what the path leads to; ``value`` itself where there is none."""
    step, rest = steps[0], steps[1:]
    if step == "[]":
        return [_cut(item, rest, empties=empties) for item in value]
    if step == "{}":
        return {name: _cut(item, rest, empties=empties) for name, item in value.items()}
    if value.get(step) is None:
        return value
    if not rest:
        return {name: part for name, part in value.items() if name != step}
    inner = _cut(value[step], rest, empties=empties)
    if empties and len(rest) == 1 and not inner and inner is not value[step]:
        return {name: part for name, part in value.items() if name != step}
    return {**value, step: inner}
