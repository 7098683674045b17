"""Names that are kept for what an API server reads from files."""

from __future__ import annotations

from steersman.meta.objects import Object

_SUFFIX = ".static.k8s.io"


def reserved_name_warnings(obj: Object) -> list[str]:
    if not ((obj.get("metadata") or {}).get("name") or "").endswith(_SUFFIX):
        return []
    return [
        f'metadata.name: names ending with "{_SUFFIX}" are reserved for static manifest-based configurations and cannot be '
        "managed via the API"
    ]
