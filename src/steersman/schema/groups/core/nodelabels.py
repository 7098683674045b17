"""Labels of nodes that have got a newer name, and what is said to who still selects by the old one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.meta.names import label_value_errors

NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
}


def node_selector_term_warnings(term: Mapping[str, Any], path: str, *, check_values: bool = False) -> list[str]:
    """``check_values``: values that are no label's value are no error here, and match nothing."""
    found = []
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        at, key = f"{path}.matchExpressions[{index}]", expression.get("key") or ""
        if key in NODE_LABELS:
            found.append(f"{at}.key: {key} is {NODE_LABELS[key]}")
        for position, value in enumerate(expression.get("values") or () if check_values else ()):
            found += [f"{at}.values[{position}]: {value} is invalid, {text}" for text in label_value_errors(value)]
    return found


def node_label_selector_warnings(selector: Mapping[str, Any] | None, path: str) -> list[str]:
    """Of a label selector that selects nodes."""
    if not selector:
        return []
    found = node_selector_term_warnings(selector, path)
    labels = selector.get("matchLabels") or ()
    return found + [f"{path}.matchLabels.{key}: {NODE_LABELS[key]}" for key in labels if key in NODE_LABELS]
