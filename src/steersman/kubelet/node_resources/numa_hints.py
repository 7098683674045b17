"""NUMA affinities that a container's resources could have, and which of them suits all of its resources.

Each provider of a resource names the sets of NUMA nodes from which it could serve a request, the smallest possible ones
preferred; the topology manager's policy picks one set for all. Source: the documentation's "Control Topology Management
Policies on a node" (KEP-693, KEP-3545).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Final

from msgspec import Struct

from steersman.kubelet.node_resources.policies import TopologyPolicy

Mask = int
"""A set of NUMA nodes, one bit each: narrower sets and lower nodes compare as integers do."""


class Hint(Struct, frozen=True, kw_only=True):
    nodes: Mask | None = None
    """None: any."""
    preferred: bool = False


ANYWHERE: Final = Hint(preferred=True)
NOWHERE: Final = Hint(preferred=False)

ResourceHints = Mapping[str, Sequence[Hint] | None]
"""By resource. None: it does not matter; empty: there is no way to serve it."""


def mask_of(nodes: Iterable[int]) -> Mask:
    found = 0
    for node in nodes:
        found |= 1 << node
    return found


def nodes_of(mask: Mask) -> tuple[int, ...]:
    return tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)


def node_sets(nodes: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every set of them but the empty one, small ones first."""
    for size in range(1, len(nodes) + 1):
        yield from combinations(nodes, size)


def narrower(one: Mask, other: Mask) -> bool:
    """Fewer nodes, or as many and lower ones."""
    return (one.bit_count(), one) < (other.bit_count(), other)


class NUMALayout(Struct, frozen=True, kw_only=True):
    """The machine's nodes, and how far they are from each other where that counts."""

    nodes: tuple[int, ...]
    distances: Mapping[int, tuple[int, ...]] | None = None
    """By node; given when close nodes are preferred to low ones (``prefer-closest-numa-nodes``)."""

    @property
    def every(self) -> Mask:
        return mask_of(self.nodes)

    def better(self, one: Mask, other: Mask) -> bool:
        if self.distances is None or one.bit_count() != other.bit_count():
            return narrower(one, other)
        return (self._spread(one), one) < (self._spread(other), other)

    def _spread(self, mask: Mask) -> float:
        assert self.distances is not None
        nodes = nodes_of(mask)
        places = {node: place for place, node in enumerate(self.nodes)}
        pairs = [self.distances[one][places[other]] for one in nodes for other in nodes]
        return sum(pairs) / len(pairs) if pairs else 0.0


def decide(policy: TopologyPolicy, hints: Iterable[ResourceHints], layout: NUMALayout) -> tuple[Hint, bool]:
    """The affinity to allocate with, and whether the policy admits it."""
    choices = list(_choices(hints))
    if policy == "single-numa-node":
        choices = [[hint for hint in options if hint.preferred and _is_single(hint)] for options in choices]
        best = _best(choices, NUMALayout(nodes=layout.nodes))
        if best.nodes == layout.every:
            best = Hint(preferred=best.preferred)
        return best, best.preferred
    best = _best(choices, layout)
    return best, policy in ("none", "best-effort") or best.preferred


def _is_single(hint: Hint) -> bool:
    return hint.nodes is None or hint.nodes.bit_count() == 1


def _choices(hints: Iterable[ResourceHints]) -> Iterator[Sequence[Hint]]:
    for of_provider in hints:
        if not of_provider:
            yield (ANYWHERE,)
        for options in of_provider.values():
            yield (ANYWHERE,) if options is None else options or (NOWHERE,)


def _best(choices: Sequence[Sequence[Hint]], layout: NUMALayout) -> Hint:
    """Of all ways to pick one hint for each resource; every node, not preferred, where none leaves a common node."""
    smallest = [
        min(hint.nodes.bit_count() for hint in options if hint.nodes is not None)
        for options in choices
        if any(hint.nodes is not None for hint in options)
    ]
    target = max(smallest, default=0)
    best: Hint | None = None
    for picked in product(*choices):
        merged = _merged(picked, layout.every)
        if merged.nodes and (best is None or _beats(merged, best, target, layout)):
            best = merged
    return best or Hint(nodes=layout.every, preferred=False)


def _merged(hints: Sequence[Hint], every: Mask) -> Hint:
    masks = [hint.nodes for hint in hints if hint.nodes is not None]
    common = every
    for mask in masks:
        common &= mask
    return Hint(nodes=common, preferred=all(hint.preferred for hint in hints) and len(set(masks)) <= 1)


def _beats(candidate: Hint, best: Hint, target: int, layout: NUMALayout) -> bool:
    """``target``: how many nodes the resource that needs most of them needs; unpreferred sets should come up to it, since
    a smaller one would leave that resource short, and not beyond."""
    assert candidate.nodes is not None and best.nodes is not None
    if candidate.preferred != best.preferred:
        return candidate.preferred
    if not candidate.preferred:
        size, held = candidate.nodes.bit_count(), best.nodes.bit_count()
        if held <= target and size != held:
            return held < size <= target
    return candidate.nodes != best.nodes and layout.better(candidate.nodes, best.nodes)
