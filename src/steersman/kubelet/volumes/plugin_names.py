"""What upstream's metrics call the types of volumes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_NAMES: Final[Mapping[str, str]] = {
    "configMap": "configmap", "downwardAPI": "downward-api", "emptyDir": "empty-dir", "hostPath": "host-path",
    "image": "image", "local": "local-volume", "projected": "projected", "secret": "secret",
}  # fmt: skip


def plugin_name(field: str) -> str:
    """By the field of a volume's source; what has its volume by a claim is ``N/A``, as what is not known."""
    name = _NAMES.get(field)
    return f"kubernetes.io/{name}" if name else "N/A"
