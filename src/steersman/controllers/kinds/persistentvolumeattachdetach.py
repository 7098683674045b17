"""Attach and detach: VolumeAttachments for the CSI volumes that the pods of each node need, and none for others.

watches: Nodes; Pods, by node and by claim; PersistentVolumeClaims; PersistentVolumes; VolumeAttachments, by node and by volume;
CSIDrivers.
owns: the VolumeAttachments whose names it computes from volume and node; a node's ``status.volumesAttached`` of CSI volumes.
writes: VolumeAttachments (create, delete), Nodes/status, Events.
invariants: a volume that only one node may have is attached to one node at a time; it is detached only when the node's kubelet
says that it has unmounted it, the node is marked ``out-of-service``, or the node has not been ready for six minutes; VolumeAttachments
that someone else made are left alone. (Built-in volume types need no attaching, but for iSCSI and Fibre Channel, which are left
out; volumes of cloud providers' in-tree types are not translated into CSI volumes.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from steersman.client.api import STRATEGIC_MERGE_PATCH
from steersman.client.informer import Change
from steersman.controllers import attachments
from steersman.controllers.attachments import Plan, Wanted, attachment_name, may_be_shared, unique_name
from steersman.controllers.pods import by_claim, by_node, has_stopped, node_name
from steersman.controllers.runtime import Context, Controller, Result, Watch
from steersman.controllers.standing import StandingEvents
from steersman.controllers.volumes import claim_key_of, spec_of
from steersman.meta import objects
from steersman.meta.errors import AlreadyExists, Conflict, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CSIDRIVERS,
    NODES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODS,
    VOLUMEATTACHMENTS,
    Resource,
)

NAME = "persistentvolume-attach-detach-controller"
REPEAT_S = 120.0
"""How often a failure that lasts is told again: upstream's longest back-off between two tries."""


def by_attached_node(attachment: Object) -> Iterable[str]:
    """Index: the node that the volume is attached to."""
    return (attachment["spec"]["nodeName"],)


def by_attached_volume(attachment: Object) -> Iterable[str]:
    """Index: the volume that is attached."""
    name = attachment["spec"]["source"].get("persistentVolumeName")
    return (name,) if name else ()


NODE_WATCH = Watch(resource=NODES)
POD_WATCH = Watch(resource=PODS, indexers={"node": by_node, "claim": by_claim})
CLAIM_WATCH = Watch(resource=PERSISTENTVOLUMECLAIMS)
VOLUME_WATCH = Watch(resource=PERSISTENTVOLUMES)
ATTACHMENT_WATCH = Watch(
    resource=VOLUMEATTACHMENTS, indexers={"attached-node": by_attached_node, "attached-volume": by_attached_volume}
)
DRIVER_WATCH = Watch(resource=CSIDRIVERS)
WATCHES = (NODE_WATCH, POD_WATCH, CLAIM_WATCH, VOLUME_WATCH, ATTACHMENT_WATCH, DRIVER_WATCH)

plan = attachments.plan


class AttachDetachController:
    """Reconciles one Node by name."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._nodes = context.informer(NODE_WATCH)
        self._pods = context.informer(POD_WATCH)
        self._claims = context.informer(CLAIM_WATCH)
        self._volumes = context.informer(VOLUME_WATCH)
        self._attachments = context.informer(ATTACHMENT_WATCH)
        self._drivers = context.informer(DRIVER_WATCH)
        self._standing = StandingEvents(context, period_s=REPEAT_S)
        self._unwanted_since_s: dict[str, float] = {}
        """Name of an attachment -> when it was first seen that nothing needs it."""

    def concerned(self, resource: Resource, change: Change) -> Iterable[str]:
        obj = change.object
        if resource is NODES:
            return (change.key,)
        if resource is PODS:
            has_claims = bool((obj.get("spec") or {}).get("volumes")) and any(by_claim(obj))
            return (node_name(obj),) if has_claims and node_name(obj) else ()
        if resource is PERSISTENTVOLUMECLAIMS:
            return self._nodes_of_claim(change.key)
        if resource is PERSISTENTVOLUMES:
            return self._nodes_of_claim(claim_key_of(obj)) if spec_of(obj).get("csi") else ()
        if resource is CSIDRIVERS:
            return [objects.name(node) for node in self._nodes.list()]
        names = [obj["spec"]["nodeName"]]
        volume = self._volumes.get(obj["spec"]["source"].get("persistentVolumeName") or "")
        return {*names, *self._nodes_of_claim(claim_key_of(volume))} if volume is not None else names

    def _nodes_of_claim(self, claim: str) -> set[str]:
        return {node_name(pod) for pod in self._pods.by_index("claim", claim) if node_name(pod)}

    async def reconcile(self, key: str) -> Result:
        node = self._nodes.get(key)
        wanted = self._wanted(key, node)
        ours = [each for each in self._attachments.by_index("attached-node", key) if self._is_ours(each)]
        self._note_unwanted(key, wanted, ours)
        volumes = {name: volume for each in ours for name, volume in self._volume_of(each)}
        todo = plan(
            key,
            node,
            wanted,
            ours,
            volumes,
            self._unwanted_since_s,
            self._context.clock.now(),
            may_force=not self._context.config.disable_force_detach_on_timeout,
        )
        await self._execute(key, todo, volumes)
        return Result(requeue_after_s=todo.again_after_s)

    async def _execute(self, key: str, todo: Plan, volumes: dict[str, Object]) -> None:
        if todo.report is not None:
            patch = {"status": {"volumesAttached": list(todo.report)}}
            try:
                patched = await self._context.client.patch(
                    NODES, key, patch, subresource="status", patch_type=STRATEGIC_MERGE_PATCH
                )
                self._context.expectations.wrote(key, self._nodes, patched)
            except NotFound:
                pass
        for attachment in todo.detach:
            if objects.name(attachment) in todo.unsafe or await self._is_safe(key, attachment, volumes):
                await self._delete(key, attachment)
        for attachment in todo.attach:
            try:
                created = await self._context.client.create(VOLUMEATTACHMENTS, attachment)
            except AlreadyExists:
                continue
            self._context.expectations.wrote(key, self._attachments, created)
        for pod, notice in todo.tell:
            self._standing.tell(pod, PODS, notice)

    async def _is_safe(self, node: str, attachment: Object, volumes: dict[str, Object]) -> bool:
        """The node itself, asked now and not from the cache, does not use the volume."""
        volume = volumes.get(attachment["spec"]["source"].get("persistentVolumeName") or "")
        if volume is None:
            return True
        try:
            found = await self._context.client.get(NODES, node)
        except NotFound:
            return True
        return unique_name(volume) not in ((found.get("status") or {}).get("volumesInUse") or ())

    async def _delete(self, key: str, attachment: Object) -> None:
        try:
            await self._context.client.delete(
                VOLUMEATTACHMENTS, objects.name(attachment), uid=objects.uid(attachment)
            )  # fmt: skip
        except (NotFound, Conflict):
            return
        self._context.expectations.deleted(key, self._attachments, attachment)

    def _wanted(self, name: str, node: Object | None) -> list[Wanted]:
        """The CSI volumes that pods of the node need; none where the node's kubelet attaches by itself."""
        if node is None or objects.annotations(node).get(attachments.MANAGED) != "true":
            return []
        users: dict[str, list[Object]] = {}
        for pod in self._pods.by_index("node", name):
            if not has_stopped(pod):
                for volume in self._volumes_of(pod):
                    users.setdefault(objects.name(volume), []).append(pod)
        return [self._want(name, volume, pods) for volume, pods in users.items()]

    def _want(self, node: str, volume_name: str, pods: Sequence[Object]) -> Wanted:
        volume = self._volumes.get(volume_name)
        assert volume is not None
        if may_be_shared(volume):
            return Wanted(volume=volume, pods=pods)
        others = self._attachments.by_index("attached-volume", volume_name)
        holders = [each["spec"]["nodeName"] for each in others if self._is_ours(each)]
        holders = [holder for holder in holders if holder != node]
        rivals = [pod for pod in self._pods.by_index("claim", claim_key_of(volume)) if node_name(pod) in holders]
        return Wanted(volume=volume, pods=pods, holders=holders, rivals=rivals)

    def _volumes_of(self, pod: Object) -> Iterable[Object]:
        """Volumes behind the pod's claims that a CSI driver has to attach."""
        owned = {
            objects.make_key(objects.namespace(pod), f"{objects.name(pod)}-{entry['name']}")
            for entry in pod["spec"].get("volumes") or ()
            if entry.get("ephemeral") is not None
        }
        for key in by_claim(pod):
            claim = self._claims.get(key)
            if claim is None or (key in owned and not objects.is_controlled_by(claim, pod)):
                continue
            volume = self._volumes.get(spec_of(claim).get("volumeName") or "")
            if volume is None or (spec_of(volume).get("claimRef") or {}).get("uid") != objects.uid(claim):
                continue
            if spec_of(volume).get("csi") and self._needs_attaching(spec_of(volume)["csi"]["driver"]):
                yield volume

    def _needs_attaching(self, driver: str) -> bool:
        found = self._drivers.get(driver)
        return found is None or spec_of(found).get("attachRequired") is not False

    def _volume_of(self, attachment: Object) -> Iterable[tuple[str, Object]]:
        name = attachment["spec"]["source"].get("persistentVolumeName") or ""
        volume = self._volumes.get(name)
        if volume is not None:
            yield name, volume

    def _is_ours(self, attachment: Object) -> bool:
        """It has the name that we would have given it."""
        for _, volume in self._volume_of(attachment):
            is_csi = bool(spec_of(volume).get("csi"))
            return is_csi and attachment_name(volume, attachment["spec"]["nodeName"]) == objects.name(attachment)
        name = objects.name(attachment)
        return name.startswith("csi-") and len(name) == len("csi-") + 64

    def _note_unwanted(self, node: str, wanted: Sequence[Wanted], ours: Sequence[Object]) -> None:
        needed = {attachment_name(want.volume, node) for want in wanted}
        now_s = self._context.clock.now()
        for attachment in ours:
            name = objects.name(attachment)
            if name in needed:
                self._unwanted_since_s.pop(name, None)
            else:
                self._unwanted_since_s.setdefault(name, now_s)
        if len(self._unwanted_since_s) > 2 * len(self._attachments) + 100:
            there = {objects.name(each) for each in self._attachments.list()}
            self._unwanted_since_s = {name: s for name, s in self._unwanted_since_s.items() if name in there}


def _conforms(context: Context) -> Controller:
    return AttachDetachController(context)
