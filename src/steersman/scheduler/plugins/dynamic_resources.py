"""DynamicResources: the pod's ResourceClaims have devices that the node can use, or can be given some.

Filter: claims that have devices must be usable from the node, for the others a search (``devices.finder``) must find some.
Reserve promises what was found, ``pre_bind`` writes it down. Where nothing fits, a claim that nobody else uses and that keeps
the pod away from nodes is deallocated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import msgspec
import numpy as np
from msgspec import Struct, field

from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import DEVICECLASSES
from steersman.meta.times import parse_time
from steersman.scheduler.affinity import NodeSelectorTerm, node_selector_terms
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.devices.claims import (
    NotThere,
    binding_problem,
    claims_of,
    has_binding_conditions,
    is_idle,
    is_reserved_for,
    references,
)
from steersman.scheduler.devices.extended import claim_of, mapped_resources
from steersman.scheduler.devices.finder import Classes, Finder, Found, Wanted
from steersman.scheduler.devices.requests import AllocationError, allocation_of, read_claim
from steersman.scheduler.devices.reservation import (
    Promise,
    bind_claim,
    bind_extended,
    deallocate,
    delete_claim,
    give_back,
)
from steersman.scheduler.devices.results import allocation_result
from steersman.scheduler.events import ClusterEvent, EventInterest
from steersman.scheduler.framework import (
    SKIP,
    Announce,
    Codes,
    EnqueuePlugin,
    Errand,
    ErrandFailed,
    FilterPlugin,
    NoAnswer,
    NormalizeScorePlugin,
    PostFilterPlugin,
    PreBindPlugin,
    PreEnqueuePlugin,
    PreFilterPlugin,
    PreScorePlugin,
    Rejection,
    Remedy,
    ReservePlugin,
    ScorePlugin,
    Scores,
    Search,
    Until,
    default_normalize,
)
from steersman.scheduler.label_column import Mask, Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.plugin_args import Args, ArgsError, duration_s, reject_unknown
from steersman.scheduler.pod_info import PodInfo

_UNAVAILABLE, _NO_DEVICES, _INVALID, _STALE = 1, 2, 3, 4
_REASONS = {
    _UNAVAILABLE: "resourceclaim not available on the node",
    _NO_DEVICES: "cannot allocate all claims",
    _INVALID: "invalid resource pools were encountered",
    _STALE: "cannot schedule extended resource claim",
}
_BINDING_POLL_S = 5.0


class DynamicResources(Struct, kw_only=True, eq=False):
    NAME: ClassVar[str] = "DynamicResources"
    LOCAL: ClassVar[bool] = False
    READS_PODS: ClassVar[bool] = False
    BY_NODE: ClassVar[bool] = True

    finder: Finder
    binding_timeout_s: float = 600.0
    _wanted: Wanted | None = None
    """Of the decision that is being made."""
    _promises: dict[str, Promise] = field(default_factory=dict)
    """By the uid of pods that are being bound."""
    _made: dict[str, Object] = field(default_factory=dict)
    """Claims for extended resources that were made for pods that are being bound, by the pod's uid."""

    @classmethod
    def from_args(cls, args: Args) -> DynamicResources:
        reject_unknown(args, ("filterTimeout", "bindingTimeout"))
        filter_timeout_s = _seconds(args, "filterTimeout", 10.0)
        binding_timeout_s = _seconds(args, "bindingTimeout", 600.0)
        if binding_timeout_s < 1.0:
            raise ArgsError(f'bindingTimeout: Invalid value: "{args["bindingTimeout"]}": must be at least 1 second')
        return cls(finder=Finder(filter_timeout_s or float(2**31)), binding_timeout_s=binding_timeout_s)

    # -- before nodes are looked at ----------------------------------------------------------------------------------

    def pre_enqueue(self, pod: PodInfo, cluster: Cluster) -> Rejection | None:
        if not pod.obj["spec"].get("resourceClaims"):
            return None
        try:
            claims_of(pod, cluster, self.finder.ledger)
        except NotThere as reason:
            return _unresolvable(str(reason))
        return None

    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        if not pod.obj["spec"].get("resourceClaims") and not any("/" in name for name in pod.requests.amounts):
            return SKIP
        self.finder.ledger.follow(cluster)
        try:
            claims = claims_of(pod, cluster, self.finder.ledger)
        except NotThere as reason:
            return _unresolvable(str(reason))
        extended = mapped_resources(pod, cluster)
        if not claims and not extended:
            return SKIP
        waiting = [claim for claim in claims if not allocation_of(claim)]
        for claim in waiting:
            if obstacle := self._obstacle(claim, cluster):
                return _unresolvable(obstacle)
        spec = pod.obj["spec"]
        containers = [spec.get("containers"), spec.get("initContainers")] if extended else None
        self._wanted = Wanted(
            pod=pod,
            cluster=cluster,
            allocated=tuple((claim, _nodes_of(claim)) for claim in claims if allocation_of(claim)),
            to_allocate=tuple(read_claim(claim) for claim in waiting),
            extended=extended,
            stale=claim_of(pod, cluster) if extended else None,
            question=msgspec.json.encode([[claim.get("spec") for claim in waiting], containers]),
        )
        return self._wanted

    def _obstacle(self, claim: Object, cluster: Cluster) -> str:
        if self.finder.ledger.pending(objects.uid(claim)) is not None:
            return f"resource claim {objects.key_of(claim)} is in the process of being allocated"
        classes = cluster.lister(DEVICECLASSES)
        for choice in read_claim(claim).choices:
            for request in choice.alternatives:
                if not request.class_name:
                    raise AllocationError(f"request {request.full_name}: unsupported request type")
                if classes.get(request.class_name) is None:
                    return f"request {request.full_name}: device class {request.class_name} does not exist"
        return ""

    # -- nodes -------------------------------------------------------------------------------------------------------

    def filter(self, state: Any, table: NodeTable, rows: Rows) -> Codes:
        numbers = np.arange(table.count)[rows]
        return np.array([self._code(state, table.nodes[int(row)]) for row in numbers], dtype=np.int64)

    def rejection(self, state: Any, code: int) -> Rejection:
        return _unresolvable(_REASONS[code])

    def _code(self, wanted: Wanted, node: Object | None) -> int:
        if node is None:
            return 0
        if wanted.stale is not None:
            return _STALE
        found = self.finder.find(wanted, node)
        if found.is_failed:
            return _INVALID if found.has_invalid_pool else _NO_DEVICES
        unavailable = [claim for claim, terms in wanted.allocated if not self._is_usable(claim, terms, node, wanted)]
        wanted.unavailable.update((objects.key_of(claim), claim) for claim in unavailable)
        return _UNAVAILABLE if unavailable else 0

    def _is_usable(
        self, claim: Object, terms: tuple[NodeSelectorTerm, ...] | None, node: Object, wanted: Wanted
    ) -> bool:
        if terms is not None and not any(term.matches(objects.name(node), objects.labels(node)) for term in terms):
            return False
        problem = binding_problem(claim) if has_binding_conditions(claim) else ""
        return not problem and not (problem is None and self._is_overdue(claim, wanted.cluster.now_s))

    def _is_overdue(self, claim: Object, now_s: float) -> bool:
        """The devices of an allocated claim took too long to get ready."""
        since = (allocation_of(claim) or {}).get("allocationTimestamp")
        return since is not None and parse_time(since) + self.binding_timeout_s < now_s

    # -- score -------------------------------------------------------------------------------------------------------

    def pre_score(self, pod: PodInfo, cluster: Cluster, feasible: Mask) -> Any:
        wanted = self._wanted
        return wanted if wanted is not None and wanted.pod is pod and wanted.is_prioritized else SKIP

    def score(self, state: Any, table: NodeTable, rows: Rows) -> Scores:
        nodes = (table.nodes[int(row)] for row in np.arange(table.count)[rows])
        scores = [0 if node is None else self.finder.find(state, node).score for node in nodes]
        return np.array(scores, dtype=np.int64)

    def normalize(self, state: Any, scores: Scores, rows: Rows) -> Scores:
        return default_normalize(scores, reverse=False)

    # -- where nothing fits --------------------------------------------------------------------------------------------

    def post_filter(self, pod: PodInfo, search: Search) -> Remedy | NoAnswer:
        """Upstream's plugin looks for what its PreFilter left behind, and where that was not reached (a claim for a volume
        is missing, say) ends preemption with the lookup's "not found": events carry those words."""
        if not search.reached(self.NAME):
            return NoAnswer(message="not found")
        wanted: Wanted | None = search.state_of(self.NAME)
        if wanted is None:
            return Remedy(message="no new claims to deallocate")
        for claim in wanted.unavailable.values():
            if is_idle(claim, pod):
                return Remedy(message="deallocation of ResourceClaim completed", errand=deallocate(claim))
        if wanted.stale is not None:
            return Remedy(message="deletion of ResourceClaim completed", errand=delete_claim(wanted.stale))
        return Remedy(message="still not schedulable")

    # -- reserve and bind ----------------------------------------------------------------------------------------------

    def reserve(self, pod: PodInfo, node_name: str, cluster: Cluster) -> Rejection | None:
        wanted = self.pre_filter(pod, cluster)
        if wanted is SKIP:
            return None
        if isinstance(wanted, Rejection):
            return wanted
        node = cluster.nodes.nodes[cluster.nodes.rows[node_name]]
        assert node is not None
        extended = wanted.not_offered_by(node)
        if not wanted.to_allocate and not extended:
            return None
        found = self.finder.solve(wanted, node)
        if found.is_failed:
            return _unresolvable("claim allocation not found for node")
        self._promise(pod, wanted, node, found, extended)
        return None

    def _promise(self, pod: PodInfo, wanted: Wanted, node: Object, found: Found, extended: tuple[str, ...]) -> None:
        classes = Classes(wanted.cluster)
        allocations = tuple(
            (solution.claim.obj, allocation_result(solution, classes, node)) for solution in found.solutions
        )
        for claim, allocation in allocations:
            self.finder.ledger.promise(objects.uid(claim), allocation)
        promise = Promise(allocations=allocations)
        if extended:
            claim, mappings = wanted.extended_claim(extended)
            promise = Promise(allocations=allocations, extended=claim, mappings=tuple(mappings))
        self._promises[pod.uid] = promise

    def unreserve(self, pod: PodInfo, node_name: str, cluster: Cluster) -> Errand | None:
        promise = self._promises.pop(pod.uid, None)
        for claim, _ in promise.allocations if promise is not None else ():
            self.finder.ledger.release(objects.uid(claim))
        made = self._made.pop(pod.uid, None)
        names = _names(pod)
        known = (self.finder.ledger.claim(objects.make_key(pod.namespace, name), cluster) for name in names)
        reserved = [claim for claim in known if claim is not None and is_reserved_for(claim, pod)]
        return _undo(reserved, made, pod) if reserved or made is not None else None

    def pre_bind(self, pod: PodInfo, node_name: str, cluster: Cluster) -> Errand | None:
        promise = self._promises.get(pod.uid)
        if promise is None:
            if not pod.obj["spec"].get("resourceClaims"):
                return None
            promise = Promise(allocations=())
        known = (self.finder.ledger.claim(objects.make_key(pod.namespace, name), cluster) for name in _names(pod))
        claims = [claim for claim in known if claim is not None]
        if promise.extended is None and not claims:
            return None
        return self._bind(pod, node_name, promise, claims)

    def _bind(self, pod: PodInfo, node_name: str, promise: Promise, claims: Sequence[Object]) -> Errand:
        ledger = self.finder.ledger
        bound: dict[str, Object] = {objects.key_of(claim): claim for claim in claims}

        def written(claim: Object) -> None:
            ledger.assume(claim)
            ledger.release(objects.uid(claim))
            bound[objects.key_of(claim)] = claim

        for claim in claims:
            if not is_reserved_for(claim, pod):
                yield from bind_claim(claim, promise.allocation_for(claim), pod, written)
        if promise.extended is not None:
            allocation = promise.allocation_for(promise.extended)
            assert allocation is not None

            def made(claim: Object) -> None:
                self._made[pod.uid] = claim
                if allocation_of(claim):
                    ledger.assume(claim)

            yield from bind_extended(promise, allocation, pod, made)
            ledger.release(objects.uid(promise.extended))
        if any(has_binding_conditions(claim) for claim in bound.values()):
            message = f"waiting for binding conditions for device on node {node_name}"
            yield Announce(reason="BindingConditionsPending", message=message)
            yield from self._until_ready([*bound])
        self._promises.pop(pod.uid, None)
        self._made.pop(pod.uid, None)

    def _until_ready(self, keys: Sequence[str]) -> Errand:
        def are_ready(cluster: Cluster) -> bool:
            for key in keys:
                claim = self.finder.ledger.claim(key, cluster)
                if claim is None:
                    raise ErrandFailed(f'could not find ResourceClaim "{key}"')
                problem = binding_problem(claim)
                if problem:
                    raise ErrandFailed(problem)
                if problem is None:
                    return False
            return True

        try:
            yield Until(holds=are_ready, timeout_s=self.binding_timeout_s, poll_s=_BINDING_POLL_S)
        except TimeoutError:
            names = ", ".join(key.partition("/")[2] for key in keys)
            raise ErrandFailed(f"device binding timeout: claim={names}") from None

    # -- events --------------------------------------------------------------------------------------------------------

    def events(self) -> Sequence[EventInterest]:
        nodes = frozenset({"Add", "UpdateNodeLabel", "UpdateNodeAllocatable"})
        return (
            EventInterest(resource="Node", actions=nodes),  # type: ignore[arg-type]
            EventInterest(resource="ResourceClaim", actions=frozenset({"Add", "Update"}), hint=_after_claim_change),
            EventInterest(
                resource="Pod", actions=frozenset({"UpdatePodGeneratedResourceClaim"}), hint=_after_generation
            ),
            EventInterest(resource="DeviceClass", actions=frozenset({"Add", "Update"})),
            EventInterest(resource="ResourceSlice", actions=frozenset({"Add", "Update"})),
        )


def _undo(reserved: Sequence[Object], made: Object | None, pod: PodInfo) -> Errand:
    for claim in reserved:
        yield from give_back(claim, pod)
    if made is not None:
        yield from delete_claim(made)


def _names(pod: PodInfo) -> list[str]:
    try:
        return [reference.name for reference in references(pod)]
    except NotThere:
        return []


def _nodes_of(claim: Object) -> tuple[NodeSelectorTerm, ...] | None:
    selector = (allocation_of(claim) or {}).get("nodeSelector")
    return None if selector is None else node_selector_terms(selector.get("nodeSelectorTerms") or ())


def _unresolvable(reason: str) -> Rejection:
    return Rejection(reasons=(reason,), unresolvable=True)


def _seconds(args: Args, name: str, default: float) -> float:
    value = default if args.get(name) is None else duration_s(args[name], name)
    if value < 0:
        raise ArgsError(f'{name}: Invalid value: "{args[name]}": must be zero or positive')
    return value


def _after_claim_change(pod: PodInfo, event: ClusterEvent) -> bool:
    claim = event.new
    if claim is None:
        return False
    if event.old is not None and allocation_of(event.old) and not allocation_of(claim):
        return True
    if objects.namespace(claim) != pod.namespace or objects.name(claim) not in _names(pod):
        return False
    return event.old is None or event.old.get("status") != claim.get("status")


def _after_generation(pod: PodInfo, event: ClusterEvent) -> bool:
    return event.new is not None and objects.uid(event.new) == pod.uid


def _conforms() -> tuple[
    PreEnqueuePlugin, PreFilterPlugin, FilterPlugin, PostFilterPlugin, PreScorePlugin, ScorePlugin,
    NormalizeScorePlugin, ReservePlugin, PreBindPlugin, EnqueuePlugin,
]:  # fmt: skip
    plugin = DynamicResources.from_args({})
    return plugin, plugin, plugin, plugin, plugin, plugin, plugin, plugin, plugin, plugin
