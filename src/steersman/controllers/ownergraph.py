"""The graph of owners and dependents over every object of the cluster, as a value that events change.

``observe`` takes one change and says which objects the garbage collector has to look at: ``delete/<uid>`` or ``orphan/<uid>``.
Objects are known by uid, so that one of the same name is another one. An owner that was never seen is a *virtual* node: only the
server can say whether it exists.
"""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import Struct, field

from steersman.client.informer import Change
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import Resource

ORPHAN_FINALIZER = "orphan"
FOREGROUND_FINALIZER = "foregroundDeletion"
DELETE = "delete/"
ORPHAN = "orphan/"


class Coordinates(Struct, frozen=True, kw_only=True, order=True):
    """Where an object is said to be: its reference together with the namespace to look in."""

    kind: str
    api_version: str
    namespace: str
    name: str
    uid: str


class Node(Struct, kw_only=True, eq=False):
    """One object. ``owners`` are its owner references as they are in its metadata."""

    uid: str
    coordinates: Coordinates
    resource: Resource | None = None
    """None: virtual."""
    owners: list[Object] = field(default_factory=list)
    dependents: dict[str, Node] = field(default_factory=dict)
    is_deleting: bool = False
    is_foreground: bool = False
    """It waits for its dependents to be gone."""
    checks: int = 0
    """How often a virtual node was looked for in vain."""

    @property
    def is_virtual(self) -> bool:
        return self.resource is None

    @property
    def blocking_dependents(self) -> Iterator[Node]:
        """Dependents that say that this node may not go before them."""
        for dependent in self.dependents.values():
            if any(owner["uid"] == self.uid and owner.get("blockOwnerDeletion") for owner in dependent.owners):
                yield dependent


class OwnerGraph:
    """All nodes by uid."""

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, uid: str) -> Node | None:
        return self._nodes.get(uid)

    def observe(self, resource: Resource, change: Change) -> list[str]:
        """Apply ``change`` of an object of ``resource``; keys to look at."""
        old, new = change.old, change.new
        if new is None:
            return self.remove(objects.uid(change.object))
        keys = []
        if old is not None and objects.uid(old) != objects.uid(new):
            keys += self.remove(objects.uid(old))
            old = None
        return keys + self._put(resource, new)

    def remove(self, uid: str) -> list[str]:
        """The object is gone. Its dependents have to be looked at, and owners that waited for it."""
        node = self._nodes.pop(uid, None)
        if node is None:
            return []
        keys = [DELETE + dependent for dependent in node.dependents]
        for reference in node.owners:
            owner = self._nodes.get(reference["uid"])
            if owner is not None:
                owner.dependents.pop(uid, None)
                if owner.is_foreground:
                    keys.append(DELETE + owner.uid)
        return keys

    def miss(self, uid: str) -> list[str]:
        """A virtual node is not where it is said to be. Dependents that say so have to be looked at; where others say that it
        is elsewhere, it is to be looked for there."""
        node = self._nodes[uid]
        elsewhere = {
            coordinates
            for dependent in node.dependents.values()
            for reference in dependent.owners
            if reference["uid"] == uid and (coordinates := coordinates_of(reference, dependent)) != node.coordinates
        }
        if not elsewhere:
            return self.remove(uid)
        keys = [
            DELETE + dependent.uid
            for dependent in node.dependents.values()
            if any(coordinates_of(reference, dependent) == node.coordinates for reference in dependent.owners)
        ]
        following = [entry for entry in elsewhere if entry > node.coordinates]
        node.coordinates, node.checks = min(following or elsewhere), node.checks + 1
        return keys

    def drop(self, resource: Resource) -> None:
        """The server has ``resource`` no more, and so none of its objects."""
        for node in [node for node in self._nodes.values() if node.resource == resource]:
            self.remove(node.uid)

    def _put(self, resource: Resource, obj: Object) -> list[str]:
        uid = objects.uid(obj)
        node = self._nodes.get(uid)
        coordinates = Coordinates(
            api_version=resource.api_version,
            kind=resource.kind,
            namespace=objects.namespace(obj),
            name=objects.name(obj),
            uid=uid,
        )
        keys: list[str] = []
        if node is None:
            node = self._nodes[uid] = Node(uid=uid, coordinates=coordinates, resource=resource)
        elif node.is_virtual:
            node.resource, node.coordinates = resource, coordinates
            keys += self._misled(node)
        keys += self._link(node, list(objects.owner_references(obj)))
        return keys + self._transitions(node, obj)

    def _misled(self, owner: Node) -> list[str]:
        """Dependents that took ``owner``, which was not seen before, for something else."""
        return [
            DELETE + dependent.uid
            for dependent in owner.dependents.values()
            if any(
                reference["uid"] == owner.uid and not _fits(owner, reference, dependent)
                for reference in dependent.owners
            )
        ]

    def _link(self, node: Node, owners: list[Object]) -> list[str]:
        """Follow changed owner references. Owners that no longer have to wait for ``node`` are looked at."""
        keys = []
        if owners == node.owners:
            return []
        before = {reference["uid"]: reference for reference in node.owners}
        after = {reference["uid"]: reference for reference in owners}
        node.owners = owners
        for uid, reference in after.items():
            owner = self._nodes.get(uid)
            if owner is None:
                owner = self._nodes[uid] = Node(uid=uid, coordinates=coordinates_of(reference, node))
                keys.append(DELETE + uid)
            elif uid not in before and not _fits(owner, reference, node):
                keys.append(DELETE + node.uid)
            owner.dependents[node.uid] = node
        for uid, reference in before.items():
            owner = self._nodes.get(uid)
            if owner is None:
                continue
            if uid not in after:
                owner.dependents.pop(node.uid, None)
                if owner.is_virtual and not owner.dependents:
                    del self._nodes[uid]
            unblocked = reference.get("blockOwnerDeletion") and not (after.get(uid) or {}).get("blockOwnerDeletion")
            if owner.is_foreground and (unblocked or uid not in after):
                keys.append(DELETE + uid)
        return keys

    def _transitions(self, node: Node, obj: Object) -> list[str]:
        if not objects.is_deleting(obj):
            return []
        node.is_deleting = True
        finalizers, keys = objects.finalizers(obj), []
        if ORPHAN_FINALIZER in finalizers:
            keys.append(ORPHAN + node.uid)
        if FOREGROUND_FINALIZER in finalizers:
            if not node.is_foreground:
                node.is_foreground = True
                keys += [DELETE + dependent for dependent in node.dependents]
                keys.append(DELETE + node.uid)
        else:
            node.is_foreground = False
        return keys


def coordinates_of(reference: Object, dependent: Node) -> Coordinates:
    """Where ``reference`` says that the owner is: in the dependent's namespace, unless its kind has none (the shell knows)."""
    return Coordinates(
        api_version=str(reference.get("apiVersion") or ""),
        kind=str(reference.get("kind") or ""),
        namespace=dependent.coordinates.namespace,
        name=str(reference.get("name") or ""),
        uid=reference["uid"],
    )


def _fits(owner: Node, reference: Object, dependent: Node) -> bool:
    """The reference names the owner as it is; else the dependent has to be checked: its owner may not exist."""
    group = str(reference.get("apiVersion") or "").rpartition("/")[0]
    named = (group, reference.get("kind"), reference.get("name"))
    there = owner.coordinates
    is_near = there.namespace in ("", dependent.coordinates.namespace)
    if owner.is_virtual:
        is_near = there.namespace == dependent.coordinates.namespace
    return is_near and named == (there.api_version.rpartition("/")[0], there.kind, there.name)
