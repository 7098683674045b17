"""What is left of pods that no longer exist, and of runs of containers that nobody asks about any more."""

from __future__ import annotations

import os

from steersman.kubelet import records
from steersman.kubelet.cgroups import Cgroups
from steersman.kubelet.inspector import PodBrief
from steersman.kubelet.pod_paths import PodPaths
from steersman.meta.objects import Object


def restored_pod(brief: PodBrief) -> Object:
    """As much of a pod's spec as its containers' labels and annotations tell: enough to stop it gracefully."""
    grace_s: int | None = None
    names: dict[str, str] = {}
    for row in brief.containers:
        names[row.labels.get(records.CONTAINER_NAME) or row.metadata.name] = row.image.image
        text = row.annotations.get(records.POD_DELETION_GRACE) or row.annotations.get(records.POD_GRACE)
        grace_s = int(text) if text else grace_s
    spec: Object = {
        "restartPolicy": "Never",
        "containers": [{"name": name, "image": image} for name, image in names.items()],
    }
    if grace_s is not None:
        spec["terminationGracePeriodSeconds"] = grace_s
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": brief.name, "namespace": brief.namespace, "uid": brief.uid},
        "spec": spec,
        "status": {},
    }


def left_over(paths: PodPaths | None, cgroups: Cgroups) -> set[str]:
    """Uids of pods that have a folder or a cgroup."""
    uids = set(cgroups.pods())
    if paths is not None and paths.pods.is_dir():
        uids.update(os.listdir(paths.pods))
    return uids
