"""Node selectors and required node affinities over columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from steersman.meta import objects
from steersman.scheduler.affinity import NodeSelectorTerm, RequiredNodeAffinity
from steersman.scheduler.label_column import Mask, Rows
from steersman.scheduler.node_table import NodeTable


def matching_nodes(affinity: RequiredNodeAffinity, table: NodeTable, rows: Rows) -> Mask:
    """Which of ``rows`` a pod with this affinity may use."""
    mask = np.ones(table.alive[rows].shape, dtype=np.bool_)
    for requirement in affinity.node_selector:
        mask &= table.column(requirement.key).matches(requirement, rows)
    if affinity.terms is not None:
        anyone = np.zeros_like(mask)
        for term in affinity.terms:
            anyone |= matching_term(term, table, rows)
        mask &= anyone
    return mask


def matching_term(term: NodeSelectorTerm, table: NodeTable, rows: Rows) -> Mask:
    """Which of ``rows`` one node selector term matches."""
    shape = table.alive[rows].shape
    if term.is_empty or term.is_malformed:
        return np.zeros(shape, dtype=np.bool_)
    mask = np.ones(shape, dtype=np.bool_)
    for requirement in term.labels:
        mask &= table.column(requirement.key).matches(requirement, rows)
    for _, wanted, names in term.fields:
        named = np.zeros(table.capacity, dtype=np.bool_)
        named[[table.rows[name] for name in names if name in table.rows]] = True
        mask &= named[rows] == wanted
    return mask


def node_matches(affinity: RequiredNodeAffinity, node: Mapping[str, Any]) -> bool:
    """Scalar form, for nodes that are not (or no longer) in the table."""
    return affinity.matches(objects.name(node), objects.labels(node))
