"""The cluster's nodes as NumPy columns, one row a node.

Binding a pod changes one row; a snapshot is the table itself. Rows never move: a removed node leaves a hole that the next
new node fills. Readers that keep derived arrays learn what changed from two numbers: ``epoch`` rises when a node itself
changed (forget everything derived), and ``changed_since`` names the rows whose pods changed.

Bounds: columns grow by doubling; the journal of changed rows keeps the last ``JOURNAL_LIMIT`` entries, and who is further
behind starts afresh.
"""

from __future__ import annotations

from collections.abc import Iterator, KeysView, Mapping
from typing import Any

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.scheduler.label_column import LabelColumn, Mask
from steersman.scheduler.pod_info import HostPort, PodInfo, normalized_image
from steersman.scheduler.pod_requests import amount
from steersman.scheduler.pod_tallies import PodTallies
from steersman.scheduler.taints import Taints, taints_of

Amounts = NDArray[np.int64]

INITIAL_CAPACITY = 64
JOURNAL_LIMIT = 16_384
CPU, MEMORY, EPHEMERAL_STORAGE = 0, 1, 2
"""Rows of ``NodeTable.allocatable`` and ``.requested`` that every cluster has; other resources follow."""


class Image(Struct, kw_only=True):
    """A container image and the nodes that have it."""

    size_bytes: int
    rows: set[int] = field(default_factory=set)


class NodeTable:
    """Columns over the nodes. Slices ``[:count]`` cover all rows in use, holes included (``alive`` is false there)."""

    def __init__(self) -> None:
        self.count = 0
        self.epoch = 0
        self.alive: Mask = np.zeros(INITIAL_CAPACITY, dtype=np.bool_)
        self.names: list[str] = []
        self.rows: dict[str, int] = {}
        self.nodes: list[Object | None] = []
        self.resources: dict[str, int] = {"cpu": CPU, "memory": MEMORY, "ephemeral-storage": EPHEMERAL_STORAGE}
        self.allocatable: Amounts = np.zeros((len(self.resources), INITIAL_CAPACITY), dtype=np.int64)
        self.requested: Amounts = np.zeros((len(self.resources), INITIAL_CAPACITY), dtype=np.int64)
        self.non_zero_requested: Amounts = np.zeros((2, INITIAL_CAPACITY), dtype=np.int64)
        self.allowed_pods: Amounts = np.zeros(INITIAL_CAPACITY, dtype=np.int64)
        self.pod_count: Amounts = np.zeros(INITIAL_CAPACITY, dtype=np.int64)
        self.unschedulable: Mask = np.zeros(INITIAL_CAPACITY, dtype=np.bool_)
        self.taint_set: NDArray[np.int32] = np.zeros(INITIAL_CAPACITY, dtype=np.int32)
        self.taint_sets: list[Taints] = [()]
        self.pods_version: NDArray[np.int64] = np.zeros(INITIAL_CAPACITY, dtype=np.int64)
        """Rises for a row whenever its pods change, other versions of the same pods included."""
        self.images: dict[str, Image] = {}
        self.tallies = PodTallies(INITIAL_CAPACITY)
        self._columns: dict[str, LabelColumn] = {}
        self._ports: dict[HostPort, NDArray[np.int32]] = {}
        self._taint_set_of: dict[Taints, int] = {(): 0}
        self.claim_users: dict[str, int] = {}
        """PersistentVolumeClaim key to the number of pods on nodes that use it."""
        self._claims_on: list[dict[str, int]] = []
        self._pods_on: list[dict[str, PodInfo]] = []
        self._pods: dict[str, PodInfo] = {}
        self._orphans: dict[str, dict[str, PodInfo]] = {}
        self._holes: list[int] = []
        self._journal: list[int] = []
        self._journal_start = 0

    # -- nodes ---------------------------------------------------------------------------------------------------

    @property
    def capacity(self) -> int:
        return len(self.alive)

    @property
    def node_count(self) -> int:
        """Nodes that exist: rows in use without the holes."""
        return len(self.rows)

    def put_node(self, node: Object) -> int:
        """Add a node or take over its new version. Returns its row. Raises ``ValueError`` for a malformed quantity."""
        name = objects.name(node)
        allocatable = self._allocatable_of(node)
        row = self.rows.get(name)
        if row is None:
            row = self._new_row(name)
            self._write(row, node, allocatable, None)
            for pod in self._orphans.pop(name, {}).values():
                self._attach(pod, row)
            return row
        old = self.nodes[row]
        assert old is not None
        if old is not node:
            self._write(row, node, allocatable, old)
        return row

    def remove_node(self, name: str) -> None:
        """Forget a node. Pods that are still bound to it wait for it to return, or to be removed themselves."""
        row = self.rows.pop(name, None)
        if row is None:
            return
        for pod in list(self._pods_on[row].values()):
            self._detach(pod, row)
            self._orphans.setdefault(name, {})[pod.uid] = pod
        for image_name in _image_names(self.nodes[row]):
            self._drop_image(image_name, row)
        for column in self._columns.values():
            column.set(row, None)
        for columns in (self.allocatable, self.requested, self.non_zero_requested):
            columns[:, row] = 0
        self.alive[row] = False
        self.unschedulable[row] = False
        self.allowed_pods[row] = self.taint_set[row] = 0
        self.nodes[row] = None
        self.names[row] = ""
        self._holes.append(row)
        self.epoch += 1

    def column(self, label_key: str) -> LabelColumn:
        """The values of one label over all nodes; kept up to date from the first time it is asked for."""
        column = self._columns.get(label_key)
        if column is None:
            column = self._columns[label_key] = LabelColumn(label_key, self.capacity)
            for name, row in self.rows.items():
                node = self.nodes[row]
                assert node is not None, name
                column.set(row, objects.labels(node).get(label_key))
        return column

    def resource(self, name: str) -> int:
        """The row of ``allocatable`` and ``requested`` for a resource; new ones are all zero."""
        index = self.resources.get(name)
        if index is None:
            index = self.resources[name] = len(self.resources)
            empty = np.zeros((1, self.capacity), dtype=np.int64)
            self.allocatable = np.concatenate([self.allocatable, empty])
            self.requested = np.concatenate([self.requested, empty])
        return index

    def amounts_of(self, row: int) -> bytes:
        """All that the table knows in numbers about what a node has and what its pods request together."""
        return b"".join(
            (
                self.allocatable[:, row].tobytes(),
                self.requested[:, row].tobytes(),
                self.non_zero_requested[:, row].tobytes(),
                self.allowed_pods[row].tobytes(),
                self.pod_count[row].tobytes(),
            )
        )

    # -- pods ----------------------------------------------------------------------------------------------------

    def pod(self, uid: str) -> PodInfo | None:
        """The version of a pod that counts on its node."""
        return self._pods.get(uid)

    def pods(self) -> Iterator[PodInfo]:
        return iter(self._pods.values())

    def uids(self) -> KeysView[str]:
        """Of all pods that count."""
        return self._pods.keys()

    def pods_on(self, row: int) -> Mapping[str, PodInfo]:
        """The pods of a node by uid, in the order in which they came."""
        return self._pods_on[row]

    def claims_on(self, row: int) -> Mapping[str, int]:
        """Keys of the PersistentVolumeClaims that pods of a node use, and how many do."""
        return self._claims_on[row]

    def add_pod(self, pod: PodInfo) -> None:
        """Count ``pod`` on ``pod.node_name``; a pod whose node is unknown waits for it. Replaces an earlier version."""
        earlier = self._pods.get(pod.uid)
        if earlier is not None:
            if self._counts_alike(earlier, pod):
                self._exchange(pod)
                return
            self.remove_pod(pod.uid)
        self._pods[pod.uid] = pod
        row = self.rows.get(pod.node_name)
        if row is None:
            self._orphans.setdefault(pod.node_name, {})[pod.uid] = pod
        else:
            self._attach(pod, row)

    @staticmethod
    def _counts_alike(one: PodInfo, other: PodInfo) -> bool:
        """No column and no tally would change. What an assumed pod becomes once the API shows it bound is of this kind, and
        answers that are kept for its node stay valid."""
        return (
            one.node_name == other.node_name
            and one.namespace == other.namespace
            and one.is_terminating == other.is_terminating
            and one.requests == other.requests
            and one.template == other.template
            and one.label_set == other.label_set
            and one.terms == other.terms
            and one.claims == other.claims
        )

    def _exchange(self, pod: PodInfo) -> None:
        """Another version of a pod that counts the same."""
        self._pods[pod.uid] = pod
        row = self.rows.get(pod.node_name)
        if row is None:
            self._orphans[pod.node_name][pod.uid] = pod
        else:
            self._pods_on[row][pod.uid] = pod
            self.pods_version[row] += 1

    def remove_pod(self, uid: str) -> PodInfo | None:
        """Stop counting a pod. Returns the version that counted."""
        pod = self._pods.pop(uid, None)
        if pod is None:
            return None
        row = self.rows.get(pod.node_name)
        if row is None:
            orphans = self._orphans.get(pod.node_name, {})
            orphans.pop(uid, None)
            if not orphans:
                self._orphans.pop(pod.node_name, None)
        else:
            self._detach(pod, row)
        return pod

    def ports_in_use(self, port: HostPort) -> list[NDArray[np.int32]]:
        """Columns that count the pods with a host port that conflicts with ``port``."""
        return [
            column
            for used, column in self._ports.items()
            if used.protocol == port.protocol
            and used.port == port.port
            and (used.address == port.address or "0.0.0.0" in (used.address, port.address))
        ]

    # -- changes -------------------------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """The end of the journal, to be given to ``changed_since`` later."""
        return self._journal_start + len(self._journal)

    def changed_since(self, position: int) -> list[int] | None:
        """Rows whose pods changed since then, with repetitions; None where that is no longer known."""
        if position < self._journal_start:
            return None
        return self._journal[position - self._journal_start :]

    def _touch(self, row: int) -> None:
        self._journal.append(row)
        self.pods_version[row] += 1
        if len(self._journal) > JOURNAL_LIMIT:
            half = JOURNAL_LIMIT // 2
            del self._journal[:half]
            self._journal_start += half

    # -- rows ----------------------------------------------------------------------------------------------------

    def _new_row(self, name: str) -> int:
        if self._holes:
            row = self._holes.pop()
            self.names[row] = name
        else:
            row = self.count
            if row == self.capacity:
                self._grow(self.capacity * 2)
            self.count += 1
            self.names.append(name)
            self.nodes.append(None)
            self._pods_on.append({})
            self._claims_on.append({})
        self.rows[name] = row
        self.alive[row] = True
        self.epoch += 1
        return row

    def _grow(self, capacity: int) -> None:
        def grown(column: NDArray[Any]) -> NDArray[Any]:
            new = np.zeros((*column.shape[:-1], capacity), dtype=column.dtype)
            new[..., : column.shape[-1]] = column
            return new

        self.allocatable, self.requested = grown(self.allocatable), grown(self.requested)
        self.non_zero_requested = grown(self.non_zero_requested)
        self.allowed_pods, self.pod_count = grown(self.allowed_pods), grown(self.pod_count)
        self.unschedulable, self.taint_set = grown(self.unschedulable), grown(self.taint_set)
        self.alive, self.pods_version = grown(self.alive), grown(self.pods_version)
        self._ports = {port: grown(column) for port, column in self._ports.items()}
        for column in self._columns.values():
            column.grow(capacity)
        self.tallies.grow(capacity)

    def _allocatable_of(self, node: Object) -> dict[str, int]:
        stated = (node.get("status") or {}).get("allocatable") or {}
        return {name: amount(name, value) for name, value in stated.items()}

    def _write(self, row: int, node: Object, allocatable: Mapping[str, int], old: Object | None) -> None:
        self.nodes[row] = node
        changed = self._write_allocatable(row, allocatable)
        taints = taints_of(node)
        set_id = self._taint_set_of.get(taints)
        if set_id is None:
            set_id = self._taint_set_of[taints] = len(self.taint_sets)
            self.taint_sets.append(taints)
        unschedulable = bool((node.get("spec") or {}).get("unschedulable"))
        if set_id != self.taint_set[row] or unschedulable != self.unschedulable[row]:
            changed = True
        self.taint_set[row] = set_id
        self.unschedulable[row] = unschedulable
        if old is None or objects.labels(old) != objects.labels(node):
            labels = objects.labels(node)
            for key, column in self._columns.items():
                column.set(row, labels.get(key))
            changed = True
        if old is None or _images(old) != _images(node):
            self._write_images(row, node, old)
            changed = True
        if old is None or (old.get("status") or {}).get("declaredFeatures") != (node.get("status") or {}).get(
            "declaredFeatures"
        ):
            changed = True
        if changed:
            self.epoch += 1

    def _write_allocatable(self, row: int, allocatable: Mapping[str, int]) -> bool:
        for name in allocatable:
            if name != "pods":
                self.resource(name)
        changed = False
        for name, index in self.resources.items():
            value = allocatable.get(name, 0)
            if self.allocatable[index, row] != value:
                self.allocatable[index, row] = value
                changed = True
        allowed = allocatable.get("pods", 0)
        if self.allowed_pods[row] != allowed:
            self.allowed_pods[row] = allowed
            changed = True
        return changed

    def _write_images(self, row: int, node: Object, old: Object | None) -> None:
        for name in _image_names(old):
            self._drop_image(name, row)
        for entry in _images(node):
            for name in entry.get("names") or ():
                image = self.images.setdefault(normalized_image(name), Image(size_bytes=entry.get("sizeBytes") or 0))
                image.rows.add(row)

    def _drop_image(self, name: str, row: int) -> None:
        image = self.images.get(name)
        if image is not None:
            image.rows.discard(row)
            if not image.rows:
                del self.images[name]

    def _attach(self, pod: PodInfo, row: int) -> None:
        self._pods_on[row][pod.uid] = pod
        self._count(pod, row, 1)

    def _detach(self, pod: PodInfo, row: int) -> None:
        del self._pods_on[row][pod.uid]
        self._count(pod, row, -1)

    def _count(self, pod: PodInfo, row: int, sign: int) -> None:
        requests = pod.requests
        for name, value in requests.amounts.items():
            index = self.resources.get(name)
            if index is None:
                index = self.resource(name)
            self.requested[index, row] += sign * value
        self.non_zero_requested[0, row] += sign * requests.non_zero_milli_cpu
        self.non_zero_requested[1, row] += sign * requests.non_zero_memory_bytes
        self.pod_count[row] += sign
        for port in pod.template.host_ports:
            column = self._ports.get(port)
            if column is None:
                column = self._ports[port] = np.zeros(self.capacity, dtype=np.int32)
            column[row] += sign
        for claim in pod.claims:
            key = f"{pod.namespace}/{claim}"
            for users, place in ((self._claims_on[row], key), (self.claim_users, key)):
                users[place] = users.get(place, 0) + sign
                if not users[place]:
                    del users[place]
        self.tallies.count(pod, row, sign)
        self._touch(row)


def _images(node: Object | None) -> list[Mapping[str, Any]]:
    return ((node or {}).get("status") or {}).get("images") or []


def _image_names(node: Object | None) -> Iterator[str]:
    return (normalized_image(name) for entry in _images(node) for name in entry.get("names") or ())
