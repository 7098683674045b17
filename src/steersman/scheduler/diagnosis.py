"""Why a pod fits nowhere, in upstream's words: ``0/5 nodes are available: 3 Insufficient cpu, 2 node(s) …``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct, field
from msgspec.structs import replace

NO_NODES = "no nodes available to schedule pods"


class Diagnosis(Struct, frozen=True, kw_only=True):
    """The outcome of a failed search."""

    node_count: int
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Reason to number of nodes; a node may have several."""
    rejected_nodes: Mapping[str, int] = field(default_factory=dict)
    """Plugin to number of nodes that it was the first to reject."""
    plugins: frozenset[str] = frozenset()
    """Plugins whose rejections count: events they are interested in can make the pod fit. Without any node it is every
    filter plugin, so that the first node wakes the pod."""
    pre_filter_message: str = ""
    """Set where a plugin rejected the pod before any node was looked at."""
    post_filter_message: str = ""

    @property
    def message(self) -> str:
        if not self.node_count:
            return NO_NODES
        text = f"0/{self.node_count} nodes are available:"
        if self.pre_filter_message:
            text += f" {self.pre_filter_message}."
        elif self.reasons:
            text += f" {', '.join(sorted(f'{count} {reason}' for reason, count in self.reasons.items()))}."
        if self.post_filter_message:
            text += f" {self.post_filter_message}"
        return text

    def with_post_filter(self, message: str) -> Diagnosis:
        return replace(self, post_filter_message=message)


EXTENDERS = "Extenders"
"""Among ``Diagnosis.plugins`` where extenders rejected nodes. Nobody knows what they wait for, so any event is tried."""
PREEMPTION_UNHELPFUL = "Preemption is not helpful for scheduling"


def not_placed(reasons: Sequence[str]) -> str:
    """What is said of a pod that had a node already and lost it: only that node counts."""
    return Diagnosis(node_count=1, reasons=dict.fromkeys(reasons, 1)).message
