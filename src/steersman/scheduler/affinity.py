"""Affinities as they stand in pod specs, parsed once: node selectors, and terms about other pods.

Source: "Assigning Pods to Nodes" in the Kubernetes documentation; KEP-3633 (matchLabelKeys, mismatchLabelKeys).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Struct

from steersman.meta.selectors import (
    EVERYTHING,
    NOTHING,
    LabelSelector,
    Operator,
    Requirement,
    SelectorError,
    label_selector_of,
)

NodeField = tuple[str, bool, frozenset[str]]
"""A requirement on ``metadata.name``: (field, whether the name must be among the values, values)."""

_NODE_OPERATORS: Mapping[str, Operator] = {
    "In": "In", "NotIn": "NotIn", "Exists": "Exists", "DoesNotExist": "DoesNotExist", "Gt": "Gt", "Lt": "Lt",
}  # fmt: skip


class NodeSelectorTerm(Struct, frozen=True, kw_only=True):
    """All requirements must hold. A term without any matches nothing."""

    labels: tuple[Requirement, ...] = ()
    fields: tuple[NodeField, ...] = ()
    is_malformed: bool = False
    """An operator or a field that does not exist: the term matches no node."""

    @property
    def is_empty(self) -> bool:
        return not (self.labels or self.fields)

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Scalar form, for one node."""
        if self.is_empty or self.is_malformed:
            return False
        return all(requirement.matches(labels) for requirement in self.labels) and all(
            (name in values) is wanted for _, wanted, values in self.fields
        )


class RequiredNodeAffinity(Struct, frozen=True, kw_only=True):
    """``spec.nodeSelector`` and the required node affinity of a pod; both must hold."""

    node_selector: tuple[Requirement, ...] = ()
    terms: tuple[NodeSelectorTerm, ...] | None = None
    """Any one must match; None where the pod has no required node affinity."""

    @property
    def is_everything(self) -> bool:
        return not self.node_selector and self.terms is None

    def matches(self, name: str, labels: Mapping[str, str]) -> bool:
        if not all(requirement.matches(labels) for requirement in self.node_selector):
            return False
        return self.terms is None or any(term.matches(name, labels) for term in self.terms)


class PreferredNodeTerm(Struct, frozen=True, kw_only=True):
    """A node that matches gains ``weight``."""

    weight: int
    term: NodeSelectorTerm


class PodTerm(Struct, frozen=True, kw_only=True):
    """One term of pod affinity or anti-affinity, as carried by a pod."""

    topology_key: str
    namespaces: frozenset[str]
    """Names that are stated, or the carrier's own namespace where neither names nor a selector are."""
    namespace_selector: LabelSelector
    selector: LabelSelector
    weight: int = 0
    """Of preferred terms; 0 for required ones."""

    def matches(self, namespace: str, labels: Mapping[str, str], namespace_labels: Mapping[str, str]) -> bool:
        if namespace not in self.namespaces and not self.namespace_selector.matches(namespace_labels):
            return False
        return self.selector.matches(labels)


class PodTerms(Struct, frozen=True, kw_only=True):
    """Every term about other pods that one pod carries."""

    required: tuple[PodTerm, ...] = ()
    required_anti: tuple[PodTerm, ...] = ()
    preferred: tuple[PodTerm, ...] = ()
    preferred_anti: tuple[PodTerm, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.required or self.required_anti or self.preferred or self.preferred_anti)


NO_POD_TERMS = PodTerms()
NO_NODE_AFFINITY = RequiredNodeAffinity()


def required_node_affinity(spec: Mapping[str, Any]) -> RequiredNodeAffinity:
    node_selector = spec.get("nodeSelector")
    required = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not node_selector and required is None:
        return NO_NODE_AFFINITY
    return RequiredNodeAffinity(
        node_selector=tuple(
            Requirement(key, "In", frozenset({value})) for key, value in sorted((node_selector or {}).items())
        ),
        terms=None if required is None else node_selector_terms(required.get("nodeSelectorTerms") or ()),
    )


def preferred_node_terms(node_affinity: Mapping[str, Any]) -> tuple[PreferredNodeTerm, ...]:
    """The preferred terms of a ``NodeAffinity``; those of weight 0 or without requirements say nothing."""
    parsed = [
        PreferredNodeTerm(weight=int(entry.get("weight") or 0), term=node_selector_term(entry.get("preference") or {}))
        for entry in node_affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    ]
    return tuple(entry for entry in parsed if entry.weight and not entry.term.is_empty)


def node_selector_terms(terms: Iterable[Mapping[str, Any]]) -> tuple[NodeSelectorTerm, ...]:
    return tuple(node_selector_term(term) for term in terms)


def node_selector_term(term: Mapping[str, Any]) -> NodeSelectorTerm:
    malformed = False
    labels: list[Requirement] = []
    fields: list[NodeField] = []
    for entry in term.get("matchExpressions") or ():
        operator = _NODE_OPERATORS.get(str(entry.get("operator")))
        if operator is None:
            malformed = True
            continue
        labels.append(Requirement(str(entry.get("key")), operator, frozenset(entry.get("values") or ())))
    for entry in term.get("matchFields") or ():
        operator_name = entry.get("operator")
        if entry.get("key") != "metadata.name" or operator_name not in ("In", "NotIn"):
            malformed = True
            continue
        fields.append(("metadata.name", operator_name == "In", frozenset(entry.get("values") or ())))
    if malformed and not labels and not fields:
        fields.append(("metadata.name", True, frozenset()))
    return NodeSelectorTerm(labels=tuple(labels), fields=tuple(fields), is_malformed=malformed)


def pod_terms(affinity: Mapping[str, Any] | None, namespace: str, labels: Mapping[str, str]) -> PodTerms:
    """The terms of ``spec.affinity`` as carried by a pod of ``namespace`` with ``labels``."""
    if not affinity:
        return NO_POD_TERMS
    together, apart = affinity.get("podAffinity"), affinity.get("podAntiAffinity")
    if not together and not apart:
        return NO_POD_TERMS
    keys = _label_keys_used(together or {}) | _label_keys_used(apart or {})
    relevant = {key: labels[key] for key in sorted(keys) if key in labels}
    return _pod_terms(msgspec.json.encode([together, apart, namespace, relevant]))


def _label_keys_used(side: Mapping[str, Any]) -> set[str]:
    terms = [
        *(side.get("requiredDuringSchedulingIgnoredDuringExecution") or ()),
        *(entry.get("podAffinityTerm") or {}
          for entry in side.get("preferredDuringSchedulingIgnoredDuringExecution") or ()),
    ]  # fmt: skip
    return {key for term in terms for name in ("matchLabelKeys", "mismatchLabelKeys") for key in term.get(name) or ()}


@lru_cache(maxsize=2048)
def _pod_terms(encoded: bytes) -> PodTerms:
    together, apart, namespace, labels = msgspec.json.decode(encoded)

    def required(side: Mapping[str, Any] | None) -> tuple[PodTerm, ...]:
        entries = (side or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        return tuple(_pod_term(entry, namespace, labels, 0) for entry in entries)

    def preferred(side: Mapping[str, Any] | None) -> tuple[PodTerm, ...]:
        entries = (side or {}).get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        return tuple(
            _pod_term(entry.get("podAffinityTerm") or {}, namespace, labels, int(entry.get("weight") or 0))
            for entry in entries
        )

    return PodTerms(
        required=required(together),
        required_anti=required(apart),
        preferred=preferred(together),
        preferred_anti=preferred(apart),
    )


def _pod_term(term: Mapping[str, Any], namespace: str, labels: Mapping[str, str], weight: int) -> PodTerm:
    selector = selector_or_nothing(term.get("labelSelector"))
    selector = with_label_keys(selector, term.get("matchLabelKeys") or (), labels, equal=True)
    selector = with_label_keys(selector, term.get("mismatchLabelKeys") or (), labels, equal=False)
    namespaces, namespace_selector = term.get("namespaces") or (), term.get("namespaceSelector")
    if not namespaces and namespace_selector is None:
        namespaces = (namespace,)
    return PodTerm(
        topology_key=str(term.get("topologyKey") or ""),
        namespaces=frozenset(namespaces),
        namespace_selector=selector_or_nothing(namespace_selector),
        selector=selector,
        weight=weight,
    )


def selector_or_nothing(selector: Mapping[str, Any] | None) -> LabelSelector:
    """Absent and malformed selectors match nothing; empty ones match everything."""
    try:
        parsed = label_selector_of(selector)
    except SelectorError:
        return NOTHING
    return EVERYTHING if parsed.is_everything else parsed


def with_label_keys(
    selector: LabelSelector, keys: Iterable[str], labels: Mapping[str, str], *, equal: bool
) -> LabelSelector:
    """``selector`` and the pod's own values of ``keys``; keys that the pod lacks are left out. The API server merges
    them into new pods too; saying it twice changes nothing."""
    if selector.matches_nothing:
        return selector
    more = tuple(
        Requirement(key, "In" if equal else "NotIn", frozenset({labels[key]})) for key in keys if key in labels
    )
    new = tuple(requirement for requirement in more if requirement not in selector.requirements)
    return LabelSelector((*selector.requirements, *new)) if new else selector
