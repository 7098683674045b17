"""A Deployment's ReplicaSets as values: which is the new one, which revision each is, and how many replicas each may have.

Source: the Deployment page of the Kubernetes documentation ("Rolling update", "Proportional scaling", "Revision history").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from steersman.controllers.intorstring import scaled
from steersman.controllers.podtemplate import POD_TEMPLATE_HASH, equal_without_hash, template_hash
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import DEPLOYMENTS, REPLICASETS

REVISION = "deployment.kubernetes.io/revision"
REVISION_HISTORY = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
ROLLBACK_TO = "deprecated.deployment.rollback.to"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
NOT_COPIED = frozenset({LAST_APPLIED, REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS, ROLLBACK_TO})
REVISION_HISTORY_CHARACTERS = 2000
NO_DEADLINE = 2**31 - 1
LONGEST_NAME = 253


def replicas_of(obj: Mapping[str, Any]) -> int:
    """``spec.replicas``, which the server defaults to 1."""
    return int(obj["spec"].get("replicas", 1))


def status_count(obj: Mapping[str, Any], field: str) -> int:
    return int((obj.get("status") or {}).get(field) or 0)


def is_rolling(deployment: Mapping[str, Any]) -> bool:
    return bool((deployment["spec"].get("strategy") or {}).get("type", "RollingUpdate") == "RollingUpdate")


def fenceposts(deployment: Mapping[str, Any]) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) as counts: surge rounded up, unavailable down, never both 0 (then 1 unavailable)."""
    if not is_rolling(deployment):
        return 0, 0
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    wanted = replicas_of(deployment)
    surge = scaled(rolling.get("maxSurge", "25%"), wanted, round_up=True)
    unavailable = scaled(rolling.get("maxUnavailable", "25%"), wanted, round_up=False)
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, unavailable


def max_surge(deployment: Mapping[str, Any]) -> int:
    return fenceposts(deployment)[0]


def max_unavailable(deployment: Mapping[str, Any]) -> int:
    wanted = replicas_of(deployment)
    return min(fenceposts(deployment)[1], wanted) if wanted else 0


def by_creation(replicasets: Iterable[Object]) -> list[Object]:
    """Oldest first; those of one second by name."""
    return sorted(replicasets, key=lambda rs: (rs["metadata"].get("creationTimestamp") or "", objects.name(rs)))


def new_replicaset(deployment: Mapping[str, Any], replicasets: Iterable[Object]) -> Object | None:
    """The oldest ReplicaSet with the Deployment's template, so that two of them never compete."""
    template = deployment["spec"]["template"]
    for rs in by_creation(replicasets):
        if equal_without_hash(rs["spec"]["template"], template):
            return rs
    return None


def revision_of(obj: Mapping[str, Any]) -> int:
    """The revision annotation; 0 where it is absent or no number."""
    text = objects.annotations(obj).get(REVISION, "")
    return int(text) if text.isdecimal() else 0


def last_revision(replicasets: Iterable[Object]) -> int:
    """The second highest revision: what "undo" without a revision means."""
    revisions = sorted((revision_of(rs) for rs in replicasets), reverse=True)
    return revisions[1] if len(revisions) > 1 else 0


def make_replicaset(deployment: Object, others: Sequence[Object], revision: int) -> Object:
    """The new ReplicaSet for the Deployment's template, with as many replicas as may start at once."""
    spec = deployment["spec"]
    digest = template_hash(spec["template"], (deployment.get("status") or {}).get("collisionCount"))
    labels = {**((spec["template"].get("metadata") or {}).get("labels") or {}), POD_TEMPLATE_HASH: digest}
    template = {**spec["template"], "metadata": {**(spec["template"].get("metadata") or {}), "labels": labels}}
    selector = spec["selector"]
    selector = {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), POD_TEMPLATE_HASH: digest}}
    made: Object = {
        "apiVersion": REPLICASETS.api_version,
        "kind": REPLICASETS.kind,
        "metadata": {
            "name": f"{objects.name(deployment)[: LONGEST_NAME - len(digest) - 1]}-{digest}",
            "namespace": objects.namespace(deployment),
            "labels": labels,
            "ownerReferences": [objects.controller_reference(deployment, DEPLOYMENTS)],
        },
        "spec": {"replicas": 0, "selector": selector, "template": template},
    }
    if spec.get("minReadySeconds"):
        made["spec"]["minReadySeconds"] = spec["minReadySeconds"]
    made["spec"]["replicas"] = new_size(deployment, [*others, made], made)
    return with_size_annotations(deployment, with_revision(deployment, made, revision))


def with_revision(deployment: Mapping[str, Any], rs: Object, revision: int) -> Object:
    """``rs`` with the Deployment's annotations and at least ``revision``, the former one added to its history."""
    old = objects.annotations(rs)
    annotations = {**old}
    annotations.update((key, text) for key, text in objects.annotations(deployment).items() if key not in NOT_COPIED)
    before = old.get(REVISION, "")
    if before and not before.isdecimal():
        return rs if annotations == old else objects.with_metadata(rs, annotations=annotations)
    if int(before or 0) < revision:
        annotations[REVISION] = str(revision)
        if REVISION in old:
            history = _history(old.get(REVISION_HISTORY, ""), before)
            if history is not None:
                annotations[REVISION_HISTORY] = history
    return rs if annotations == old else objects.with_metadata(rs, annotations=annotations)


def _history(history: str, revision: str) -> str | None:
    """``history`` with ``revision``, its oldest entries dropped beyond 2,000 characters."""
    entries = [*history.split(","), revision] if history else [revision]
    while len(",".join(entries)) > REVISION_HISTORY_CHARACTERS:
        entries.pop(0)
    return ",".join(entries) if entries else None


def with_size_annotations(deployment: Mapping[str, Any], rs: Object) -> Object:
    """``rs`` saying for which size of the Deployment its own size was chosen; proportional scaling reads it."""
    wanted = replicas_of(deployment)
    sizes = {DESIRED_REPLICAS: str(wanted), MAX_REPLICAS: str(wanted + max_surge(deployment))}
    annotations = objects.annotations(rs)
    if all(annotations.get(key) == text for key, text in sizes.items()):
        return rs
    return objects.with_metadata(rs, annotations={**annotations, **sizes})


def size_annotation(rs: Mapping[str, Any], key: str) -> int | None:
    text = objects.annotations(rs).get(key, "")
    return int(text) if text.isdecimal() and int(text) < 2**31 else None


def new_size(deployment: Mapping[str, Any], replicasets: Iterable[Object], new: Mapping[str, Any]) -> int:
    """How large the new ReplicaSet may be now, given the sizes of all."""
    wanted, have = replicas_of(deployment), replicas_of(new)
    if not is_rolling(deployment):
        return wanted
    room = wanted + max_surge(deployment) - sum(map(replicas_of, replicasets))
    return have + min(room, wanted - have) if room > 0 else have


def is_saturated(deployment: Mapping[str, Any], new: Mapping[str, Any] | None) -> bool:
    """The new ReplicaSet is as large as wanted and all of it available."""
    wanted = replicas_of(deployment)
    return (
        new is not None
        and replicas_of(new) == wanted
        and size_annotation(new, DESIRED_REPLICAS) == wanted
        and status_count(new, "availableReplicas") == wanted
    )


def proportional_sizes(deployment: Mapping[str, Any], active: Sequence[Object]) -> dict[str, int]:
    """New sizes by name when the Deployment is resized in the middle of a rollout: each ReplicaSet gets its share.

    Larger ones first, newer first when growing and older first when shrinking; the first takes what rounding leaves.
    """
    wanted = replicas_of(deployment)
    allowed = wanted + max_surge(deployment) if wanted > 0 else 0
    to_add = allowed - sum(map(replicas_of, active))
    ordered = by_creation(active)
    if to_add > 0:
        newest_first = ordered[::-1]
        ordered = sorted(newest_first, key=replicas_of, reverse=True)
    elif to_add < 0:
        ordered = sorted(ordered, key=replicas_of, reverse=True)
    sizes, added = {}, 0
    for rs in ordered:
        share = _share(deployment, rs, to_add, added)
        sizes[objects.name(rs)] = replicas_of(rs) + share
        added += share
    if ordered and to_add:
        first = objects.name(ordered[0])
        sizes[first] = max(sizes[first] + to_add - added, 0)
    return sizes


def _share(deployment: Mapping[str, Any], rs: Object, to_add: int, added: int) -> int:
    size, wanted = replicas_of(rs), replicas_of(deployment)
    if size == 0 or to_add in (0, added):
        return 0
    if wanted == 0:
        fraction = -size
    else:
        before = size_annotation(rs, MAX_REPLICAS) or status_count(deployment, "replicas")
        if not before:
            return 0
        exact = size * (wanted + max_surge(deployment)) / before
        fraction = int(exact + 0.5) - size
    left = to_add - added
    return min(fraction, left) if to_add > 0 else max(fraction, left)


def is_complete(deployment: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """All wanted replicas are of the new template and available, and no old one is left."""
    wanted = replicas_of(deployment)
    counts = (status.get(field) or 0 for field in ("updatedReplicas", "replicas", "availableReplicas"))
    return all(count == wanted for count in counts) and (status.get("observedGeneration") or 0) >= objects.generation(
        deployment
    )


def deadline_s(deployment: Mapping[str, Any]) -> int | None:
    """``progressDeadlineSeconds``; None where there is none (absent or the largest integer)."""
    seconds = deployment["spec"].get("progressDeadlineSeconds")
    return None if seconds is None or seconds == NO_DEADLINE else int(seconds)
