"""Which labels a kubelet may give its own node (KEP-279): of Kubernetes' own names only those meant for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from steersman.meta.names import label_key_errors, label_value_errors

NAMESPACES: Final = ("kubelet.kubernetes.io", "node.kubernetes.io")
ALLOWED: Final = (
    "beta.kubernetes.io/arch", "beta.kubernetes.io/instance-type", "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region", "failure-domain.beta.kubernetes.io/zone", "kubernetes.io/arch",
    "kubernetes.io/hostname", "kubernetes.io/os", "node.kubernetes.io/instance-type", "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
)  # fmt: skip


def check_labels(labels: Mapping[str, str]) -> None:
    """Raises ``ValueError`` for ``--node-labels`` that no kubelet may set or that are no labels."""
    unknown = sorted(key for key in labels if _is_reserved(key) and not _is_allowed(key))
    if unknown:
        raise ValueError(
            "unknown 'kubernetes.io' or 'k8s.io' labels specified with --node-labels:"
            f" [{' '.join(unknown)}]\n--node-labels in the 'kubernetes.io' namespace must begin with an allowed prefix"
            f" ({', '.join(NAMESPACES)}) or be in the specifically allowed set ({', '.join(ALLOWED)})"
        )
    problems: list[str] = []
    for key, value in labels.items():
        problems += _said(key, label_key_errors(key))
        problems += _said(value, label_value_errors(value))
    if problems:
        raise ValueError(f"invalid node labels: {'; '.join(problems)}")


def _said(what: str, problems: Iterable[str]) -> list[str]:
    found = list(problems)
    return [f"'{what}' - {', '.join(found)}"] if found else []


def _is_reserved(key: str) -> bool:
    namespace = key.partition("/")[0] if "/" in key else ""
    return any(namespace == domain or namespace.endswith(f".{domain}") for domain in ("kubernetes.io", "k8s.io"))


def _is_allowed(key: str) -> bool:
    namespace = key.partition("/")[0]
    return key in ALLOWED or any(namespace == allowed or namespace.endswith(f".{allowed}") for allowed in NAMESPACES)
