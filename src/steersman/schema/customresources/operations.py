"""How the OpenAPI documents describe operations on custom resources: upstream writes them by another builder than its own kinds'.

It knows neither protobuf nor strategic merge patches (nor does the server, for these), leaves out the deprecated watches and the
body of a collection's deletion, and calls the subresource ``scale`` by the custom kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from steersman.schema.openapi_operation import CUSTOM_OBJECTS, PATCH_MEDIA_TYPES, Operation

_PATCHES = tuple(name for name in PATCH_MEDIA_TYPES if "strategic" not in name)


def as_custom(operations: Iterable[Operation]) -> Iterator[Operation]:
    """Those of one custom kind, from those that a built-in one would have."""
    own, listed = None, None
    for operation in operations:
        own = own or operation.group_version_kind
        if operation.action in ("watch", "watchlist"):
            continue
        changed = replace(operation, produces="custom", consumes=CUSTOM_OBJECTS, group_version_kind=own)
        match operation.action:
            case "list":
                listed = operation.query
                yield replace(changed, description=operation.description.replace("list or watch", "list"))
            case "deletecollection":
                yield replace(changed, query=listed or (), body="")
            case "get":
                yield replace(changed, query=("resourceVersion",))
            case "patch":
                yield replace(changed, consumes=_PATCHES, codes=(200,))
            case _:
                yield changed
