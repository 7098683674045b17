"""Attaching CSI volumes to nodes: which attachments there should be, and what may be detached. Pure.

An attachment is a VolumeAttachment object that the driver's external attacher carries out; the node's ``status.volumesAttached``
tells its kubelet that it may mount, its ``status.volumesInUse`` is the kubelet's word that it may still have it mounted.
Source: KEP-177 (CSI), KEP-2268 (non-graceful node shutdown), and the wording of upstream's ``controller/volume/attachdetach``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from steersman.controllers import taints
from steersman.controllers.standing import Notice
from steersman.controllers.volumes import modes_of, spec_of
from steersman.meta import objects, times
from steersman.meta.objects import Object
from steersman.meta.resources import VOLUMEATTACHMENTS

MANAGED = "volumes.kubernetes.io/controller-managed-attach-detach"
PREFIX = "kubernetes.io/csi/"
FORCE_DETACH_S = 360.0
"""After this long a volume is taken from a node that is not ready although it may have it mounted."""
ATTACH_TIMEOUT_S = 120.0


def attachment_name(volume: Mapping[str, Any], node: str) -> str:
    """The same for a volume and a node at every try, so that it is made once; kubelets compute it too."""
    source = spec_of(volume)["csi"]
    digest = hashlib.sha256(f"{source['volumeHandle']}{source['driver']}{node}".encode()).hexdigest()
    return f"csi-{digest}"


def unique_name(volume: Mapping[str, Any]) -> str:
    """As in a node's ``volumesAttached`` and ``volumesInUse``."""
    source = spec_of(volume)["csi"]
    return f"{PREFIX}{source['driver']}^{source['volumeHandle']}"


def attachment_for(volume: Object, node: str) -> Object:
    return {
        "apiVersion": VOLUMEATTACHMENTS.api_version,
        "kind": VOLUMEATTACHMENTS.kind,
        "metadata": {"name": attachment_name(volume, node)},
        "spec": {
            "attacher": spec_of(volume)["csi"]["driver"],
            "nodeName": node,
            "source": {"persistentVolumeName": objects.name(volume)},
        },
    }


def may_be_shared(volume: Mapping[str, Any]) -> bool:
    """Attached to several nodes at once."""
    modes = modes_of(volume)
    return not modes or bool(modes & {"ReadWriteMany", "ReadOnlyMany"})


def is_attached(attachment: Mapping[str, Any]) -> bool:
    return bool((attachment.get("status") or {}).get("attached"))


class Wanted(Struct, frozen=True, kw_only=True):
    """A volume that pods of the node need."""

    volume: Object
    pods: Sequence[Object]
    holders: Sequence[str] = ()
    """Other nodes that it is attached to, if it may be attached to one only."""
    rivals: Sequence[Object] = ()
    """Pods there that use it."""


class Plan(Struct, frozen=True, kw_only=True):
    """What to do for one node."""

    attach: Sequence[Object] = ()
    """VolumeAttachments to create."""
    detach: Sequence[Object] = ()
    """VolumeAttachments to delete, after the node's status does not list their volumes any more."""
    unsafe: frozenset[str] = frozenset()
    """Names of those of ``detach`` for which the node is not asked."""
    report: Sequence[Object] | None = None
    """The node's ``volumesAttached``, where that changes."""
    tell: Sequence[tuple[Object, Notice]] = field(default_factory=tuple)
    """Events of pods."""
    again_after_s: float | None = None


def plan(
    name: str,
    node: Object | None,
    wanted: Sequence[Wanted],
    attachments: Sequence[Object],
    volumes: Mapping[str, Object],
    unwanted_since_s: Mapping[str, float],
    now_s: float,
    *,
    may_force: bool,
) -> Plan:
    """``attachments`` are those of this node that were made here, ``volumes`` the volumes of all of them by name;
    ``unwanted_since_s`` says since when each attachment is not needed any more."""
    have = {objects.name(attachment): attachment for attachment in attachments}
    needed = {attachment_name(want.volume, name): want for want in wanted}
    detach, unsafe, waits = _to_detach(name, node, have, needed, volumes, unwanted_since_s, now_s, may_force=may_force)
    attach, tell = [], []
    for key, want in needed.items():
        attachment = have.get(key)
        if attachment is None and want.holders:
            tell += [(pod, _already_used(want, pod)) for pod in want.pods]
        elif attachment is None:
            attach.append(attachment_for(want.volume, name))
        elif not is_attached(attachment) or objects.is_deleting(attachment):
            why_not, wait_s = _failure(attachment, want.volume, now_s)
            waits += [wait_s] if wait_s is not None else []
            tell += [(pod, why_not) for pod in want.pods if why_not is not None]
    reported = _attached_names(needed, have)
    listed = [entry["name"] for entry in ((node or {}).get("status") or {}).get("volumesAttached") or ()]
    kept = [entry for entry in listed if not entry.startswith(PREFIX)]
    report = [{"name": entry, "devicePath": ""} for entry in sorted({*kept, *reported})]
    fresh = [
        want for key, want in needed.items() if unique_name(want.volume) in reported.difference(listed) and key in have
    ]
    tell += [(pod, _succeeded(want.volume)) for want in fresh for pod in want.pods]
    is_changed = node is not None and sorted(listed) != [entry["name"] for entry in report]
    return Plan(
        attach=attach,
        detach=detach,
        unsafe=frozenset(unsafe),
        report=report if is_changed else None,
        tell=tell,
        again_after_s=min(waits, default=None),
    )


def _to_detach(
    name: str,
    node: Object | None,
    have: Mapping[str, Object],
    needed: Collection[str],
    volumes: Mapping[str, Object],
    unwanted_since_s: Mapping[str, float],
    now_s: float,
    *,
    may_force: bool,
) -> tuple[list[Object], list[str], list[float]]:
    """(attachments to delete, names of those that are torn away, when to look again at the others)."""
    detach, unsafe, waits = [], [], []
    in_use = set(((node or {}).get("status") or {}).get("volumesInUse") or ())
    out_of_service = node is not None and any(t["key"] == taints.OUT_OF_SERVICE for t in taints.of_node(node))
    is_healthy = node is not None and objects.is_true(node, "Ready")
    for key, attachment in have.items():
        if key in needed or objects.is_deleting(attachment):
            continue
        volume = volumes.get(attachment["spec"]["source"].get("persistentVolumeName") or "")
        wait_s = unwanted_since_s[key] + FORCE_DETACH_S - now_s
        is_forced = out_of_service or (may_force and not is_healthy and wait_s <= 0)
        is_mounted = volume is not None and (node is None or unique_name(volume) in in_use)
        if not is_mounted or is_forced:
            detach.append(attachment)
            unsafe += [key] if is_forced or node is None else []
        elif may_force and wait_s > 0:
            waits.append(wait_s)
    return detach, unsafe, waits


def _attached_names(needed: Mapping[str, Wanted], have: Mapping[str, Object]) -> set[str]:
    return {
        unique_name(want.volume)
        for key, want in needed.items()
        if key in have and is_attached(have[key]) and not objects.is_deleting(have[key])
    }


def _failure(attachment: Object, volume: Object, now_s: float) -> tuple[Notice | None, float | None]:
    """What to tell of an attachment that is not done, and when to look again."""
    error = (attachment.get("status") or {}).get("attachError")
    if objects.is_deleting(attachment):
        return None, None
    if error:
        return _failed(volume, str(error.get("message") or "")), None
    wait_s = times.parse_time(objects.metadata(attachment)["creationTimestamp"]) + ATTACH_TIMEOUT_S - now_s
    if wait_s > 0:
        return None, wait_s
    source = spec_of(volume)["csi"]
    what = f"external-attacher of {source['driver']} CSI driver to attach volume {source['volumeHandle']}"
    return _failed(volume, f"timed out waiting for {what}"), ATTACH_TIMEOUT_S


def _failed(volume: Object, why: str) -> Notice:
    text = f'AttachVolume.Attach failed for volume "{objects.name(volume)}" : {why}'
    return Notice(type="Warning", reason="FailedAttachVolume", message=text)


def _succeeded(volume: Object) -> Notice:
    text = f'AttachVolume.Attach succeeded for volume "{objects.name(volume)}" '
    return Notice(type="Normal", reason="SuccessfulAttachVolume", message=text)


def _already_used(want: Wanted, pod: Object) -> Notice:
    local = [objects.name(rival) for rival in want.rivals if objects.namespace(rival) == objects.namespace(pod)]
    elsewhere = len(want.rivals) - len(local)
    if not want.rivals:
        text = "Volume is already exclusively attached to one node and can't be attached to another"
    elif local:
        text = f"Volume is already used by pod(s) {', '.join(local)}"
        text += f" and {elsewhere} pod(s) in different namespaces" if elsewhere else ""
    else:
        text = f"Volume is already used by {elsewhere} pod(s) in different namespaces"
    message = f'Multi-Attach error for volume "{objects.name(want.volume)}" {text}'
    return Notice(type="Warning", reason="FailedAttachVolume", message=message)
