"""Whether a pod may run on a node by its node selector and required node affinity.

Source: "Assigning Pods to Nodes" in the Kubernetes documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta import objects
from steersman.meta.selectors import Requirement


def fits(pod_spec: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    """Every label of ``nodeSelector``, and one term of the required node affinity, match ``node``."""
    labels = objects.labels(node)
    if any(labels.get(key) != value for key, value in (pod_spec.get("nodeSelector") or {}).items()):
        return False
    affinity = (pod_spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_term_matches(term, node) for term in required.get("nodeSelectorTerms") or ())


def _term_matches(term: Mapping[str, Any], node: Mapping[str, Any]) -> bool:
    expressions, fields = term.get("matchExpressions") or (), term.get("matchFields") or ()
    if not expressions and not fields:
        return False
    labels = objects.labels(node)
    named = {"metadata.name": objects.name(node)}
    return all(_requirement(entry).matches(labels) for entry in expressions) and all(
        _requirement(entry).matches(named) for entry in fields
    )


def _requirement(entry: Mapping[str, Any]) -> Requirement:
    return Requirement(entry["key"], entry["operator"], frozenset(entry.get("values") or ()))
