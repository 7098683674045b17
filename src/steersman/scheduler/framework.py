"""The scheduling framework: what a plugin is, in upstream's extension points, over columns instead of one node at a time.

A plugin names the points it serves by implementing their protocols. ``pre_filter`` and ``pre_score`` look at the pod once
and return a state (anything) or ``SKIP``; ``filter`` and ``score`` then get that state, the table and the rows they
are to answer for. Rows come as a slice or as an array; the answer has one element for each.

Source: KEP-624 (scheduling framework) and the extension points of KubeSchedulerConfiguration v1.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, Protocol, runtime_checkable

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from steersman.scheduler.cluster import Cluster
from steersman.scheduler.events import EventInterest
from steersman.scheduler.label_column import Mask, Rows
from steersman.scheduler.node_table import NodeTable
from steersman.scheduler.pod_info import PodInfo

MAX_NODE_SCORE: Final = 100

Codes = NDArray[np.int64]
"""One answer a node: 0 = fits; anything else is the plugin's own code for why not."""
Scores = NDArray[np.int64]


class Skip:
    """The plugin has nothing to say about this pod at this point."""


SKIP: Final = Skip()


class Rejection(Struct, frozen=True, kw_only=True):
    """Why a pod cannot be placed: on one node, or at all."""

    reasons: tuple[str, ...]
    unresolvable: bool = False
    """Removing pods from the node would not help, so preemption need not look there."""


class OnlyNodes(Struct, frozen=True, kw_only=True):
    """A ``pre_filter`` result: ``state``, and no other nodes than these can fit."""

    state: Any
    names: frozenset[str]


class Nomination(Struct, frozen=True, kw_only=True):
    """A ``post_filter`` result: the pod fits on ``node_name`` once the victims are gone."""

    node_name: str
    victims: tuple[PodInfo, ...]
    budget_violations: int = 0
    alternatives: tuple[Nomination, ...] = ()
    """Every node that could be cleared, this one too, where extenders have a say."""


class NoNomination(Struct, frozen=True, kw_only=True):
    """A ``post_filter`` result: nothing to be done, and why."""

    message: str
    clear_nomination: bool = True
    """The pod's earlier nomination is void."""


class Remedy(Struct, frozen=True, kw_only=True):
    """A ``post_filter`` result: something is done that may make the pod fit later; the next plugin is asked all the same."""

    message: str
    errand: Errand | None = None


class NoAnswer(Struct, frozen=True, kw_only=True):
    """A ``post_filter`` result: the plugin cannot tell, which is an error. No further plugin is asked, and nothing is said
    but this."""

    message: str


class Write(Struct, frozen=True, kw_only=True):
    """An API write. Its answer is the object as the server has it then (for deletions, as it was)."""

    verb: Literal["create", "update", "patch", "delete"]
    resource: Resource
    obj: Object
    """For patches (strategic merge) only what changes, and the object's names."""
    subresource: str = ""


class Read(Struct, frozen=True, kw_only=True):
    """An API read past all caches. Its answer is the object."""

    resource: Resource
    namespace: str
    name: str


class Until(Struct, frozen=True, kw_only=True):
    """Wait for ``holds``; where it does not within ``timeout_s``, the errand gets a ``TimeoutError``."""

    holds: Callable[[Cluster], bool]
    """May raise ``ErrandFailed``."""
    timeout_s: float
    poll_s: float = 0.1


class CurrentTime(Struct, frozen=True, kw_only=True):
    """Its answer is the time, in seconds since the epoch."""


class Announce(Struct, frozen=True, kw_only=True):
    """An event about the pod."""

    reason: str
    message: str


class ErrandFailed(Exception):
    """A plugin gives up what it was about to do; the message says why."""


Step = Write | Read | Until | CurrentTime | Announce
Errand = Generator[Step, Any, None]
"""What a plugin needs done by the shell, step by step: it yields a step, gets its answer, and yields the next. Failures
(``APIError``, ``Unreachable``, ``TimeoutError``) are raised at the ``yield``; those that it lets through, and
``ErrandFailed``, fail the binding."""


class Wait(Struct, frozen=True, kw_only=True):
    """A ``permit`` result: hold the pod until the plugin allows it, at most ``timeout_s``."""

    timeout_s: float


class Plugin(Protocol):
    """Every plugin has upstream's name for it."""

    NAME: ClassVar[str]


@runtime_checkable
class PreEnqueuePlugin(Protocol):
    def pre_enqueue(self, pod: PodInfo, cluster: Cluster) -> Rejection | None:
        """Keep ``pod`` out of the active queue."""


@runtime_checkable
class QueueSortPlugin(Protocol):
    def queue_key(self, pod: PodInfo, added_s: float) -> tuple[Any, ...]:
        """Pods with smaller keys come first."""


@runtime_checkable
class PreFilterPlugin(Protocol):
    def pre_filter(self, pod: PodInfo, cluster: Cluster) -> Any:
        """A state for ``filter``, ``OnlyNodes``, ``SKIP``, or a ``Rejection`` of the pod as a whole."""


@runtime_checkable
class FilterPlugin(Protocol):
    """A plugin with ``filter`` and without ``pre_filter`` gets the ``PodInfo`` as its state."""

    LOCAL: ClassVar[bool]
    """The answer for a node depends on that node's row, the pod and the state only: it may be kept until the row
    changes."""
    READS_PODS: ClassVar[bool]
    """The answer can change when pods come to or leave the node."""
    # A plugin that works node by node says ``BY_NODE = True``: it is asked only about nodes that nothing else rejects.
    # A local plugin that reads pods, and of them nothing but ``NodeTable.amounts_of``, says ``READS_AMOUNTS = True``: nodes with
    # equal amounts get one answer (scoring, too).

    def filter(self, state: Any, table: NodeTable, rows: Rows) -> Codes:
        """0 for nodes that fit."""

    def rejection(self, state: Any, code: int) -> Rejection:
        """What a code means."""


@runtime_checkable
class PostFilterPlugin(Protocol):
    def post_filter(self, pod: PodInfo, search: Search) -> Nomination | NoNomination | Remedy | NoAnswer | None:
        """No node fits: make one fit, or say why not. A nomination ends the round; messages of all the others add up."""


@runtime_checkable
class PreScorePlugin(Protocol):
    def pre_score(self, pod: PodInfo, cluster: Cluster, feasible: Mask) -> Any:
        """A state for ``score``, or ``SKIP``."""


@runtime_checkable
class ScorePlugin(Protocol):
    """A plugin with ``score`` and without ``pre_score`` gets the ``PodInfo`` as its state."""

    LOCAL: ClassVar[bool]
    READS_PODS: ClassVar[bool]

    def score(self, state: Any, table: NodeTable, rows: Rows) -> Scores:
        """Larger is better; 0 to ``MAX_NODE_SCORE`` unless the plugin normalizes."""


@runtime_checkable
class NormalizeScorePlugin(Protocol):
    def normalize(self, state: Any, scores: Scores, rows: Rows) -> Scores:
        """Bring the scores of the feasible nodes (``rows``) to 0 .. ``MAX_NODE_SCORE``."""


@runtime_checkable
class ReservePlugin(Protocol):
    def reserve(self, pod: PodInfo, node_name: str, cluster: Cluster) -> Rejection | None:
        """Claim what binding will need."""

    def unreserve(self, pod: PodInfo, node_name: str, cluster: Cluster) -> Errand | None:
        """Give it back; also called where ``reserve`` was not reached. The errand undoes what the API knows already."""


@runtime_checkable
class PermitPlugin(Protocol):
    def permit(self, pod: PodInfo, node_name: str, cluster: Cluster) -> Rejection | Wait | None: ...


@runtime_checkable
class PreBindPlugin(Protocol):
    def pre_bind(self, pod: PodInfo, node_name: str, cluster: Cluster) -> Errand | None:
        """What has to be done before the pod is bound."""


@runtime_checkable
class BindPlugin(Protocol):
    def bind(self, pod: PodInfo, node_name: str) -> Object | None:
        """The body for ``pods/binding``; None leaves it to the next plugin."""


@runtime_checkable
class PostBindPlugin(Protocol):
    def post_bind(self, pod: PodInfo, node_name: str) -> None: ...


@runtime_checkable
class EnqueuePlugin(Protocol):
    def events(self) -> Sequence[EventInterest]:
        """Events that can make a pod fit which this plugin rejected."""


class Search(Protocol):
    """What a ``post_filter`` plugin may ask of the search that failed."""

    @property
    def cluster(self) -> Cluster: ...

    @property
    def pod(self) -> PodInfo: ...

    @property
    def wants_alternatives(self) -> bool:
        """A nomination must name all its alternatives."""

    def state_of(self, plugin: str) -> Any:
        """What the plugin's ``pre_filter`` returned; None where it took no part."""

    def reached(self, plugin: str) -> bool:
        """Whether the search got as far as the plugin's ``pre_filter``: none before it rejected the pod as a whole."""

    def resolvable_rows(self) -> NDArray[np.intp]:
        """Nodes that were rejected for reasons that removing pods could cure."""

    def is_unresolvable(self, node_name: str) -> bool: ...

    def fits(self, rows: NDArray[np.intp]) -> Mask:
        """Whether the pod fits now, by every filter, on each of ``rows``; nominated pods are counted in."""

    def why_not(self, row: int) -> tuple[str, ...]:
        """The reasons of the first filter that rejects ``row`` now; empty where the pod fits."""

    def lacking_resources(self) -> tuple[tuple[str, int, int], ...] | None:
        """The resources that the pod wants as (name, row of the columns, amount), where resources and the number of pods
        are all that keeps it from every node of ``resolvable_rows``; None where other filters matter."""


class WeightedPlugin(Struct, frozen=True, kw_only=True):
    """A score plugin and what its score is multiplied by."""

    plugin: Any
    weight: int


class Framework(Struct, frozen=True, kw_only=True):
    """The plugins of one profile by extension point, each point in the order of its calls."""

    profile_name: str
    percentage_to_score: int = 0
    """How many of all nodes are enough to be found feasible and scored; 0 and 100: no limit."""
    plugins: Mapping[str, Any] = field(default_factory=dict)
    pre_enqueue: tuple[Any, ...] = ()
    queue_sort: Any = None
    pre_filter: tuple[Any, ...] = ()
    filter: tuple[Any, ...] = ()
    post_filter: tuple[Any, ...] = ()
    pre_score: tuple[Any, ...] = ()
    score: tuple[WeightedPlugin, ...] = ()
    reserve: tuple[Any, ...] = ()
    permit: tuple[Any, ...] = ()
    pre_bind: tuple[Any, ...] = ()
    bind: tuple[Any, ...] = ()
    post_bind: tuple[Any, ...] = ()


def default_normalize(scores: Scores, *, reverse: bool) -> Scores:
    """Scale so that the largest becomes ``MAX_NODE_SCORE``; ``reverse`` makes the smallest the best."""
    largest = int(scores.max(initial=0))
    if largest == 0:
        return np.full_like(scores, MAX_NODE_SCORE) if reverse else scores
    scaled = scores * MAX_NODE_SCORE // largest
    return MAX_NODE_SCORE - scaled if reverse else scaled


def compose(profile_name: str, plugins: Sequence[tuple[Any, int]]) -> Framework:
    """Every plugin at every point it serves, in the given order; weights are of scores."""

    def serving(point: type[Any]) -> tuple[Any, ...]:
        return tuple(plugin for plugin, _ in plugins if isinstance(plugin, point))

    return Framework(
        profile_name=profile_name,
        plugins={plugin.NAME: plugin for plugin, _ in plugins},
        pre_enqueue=serving(PreEnqueuePlugin),
        queue_sort=next(iter(serving(QueueSortPlugin)), None),
        pre_filter=serving(PreFilterPlugin),
        filter=serving(FilterPlugin),
        post_filter=serving(PostFilterPlugin),
        pre_score=serving(PreScorePlugin),
        score=tuple(
            WeightedPlugin(plugin=plugin, weight=weight or 1)
            for plugin, weight in plugins
            if isinstance(plugin, ScorePlugin)
        ),
        reserve=serving(ReservePlugin),
        permit=serving(PermitPlugin),
        pre_bind=serving(PreBindPlugin),
        bind=serving(BindPlugin),
        post_bind=serving(PostBindPlugin),
    )
