"""What a transaction does, for every embedded driver: compares, then changes that all carry one revision. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from msgspec import Struct

from steersman.store.api import Compare, Delete, KeyValue, Operation, StoreEvent

Lookup = Callable[[str], KeyValue | None]
"""The present version of a key."""


class Change(Struct, frozen=True, kw_only=True):
    """One event and the version that it leaves behind, None for a deletion."""

    event: StoreEvent
    version: KeyValue | None


def check(operations: Sequence[Operation]) -> None:
    """Raises ``ValueError`` where a key occurs in two operations."""
    if len(operations) > 1 and len({operation.key for operation in operations}) < len(operations):
        raise ValueError("a transaction may change each key only once")


def failed_compare(compares: Sequence[Compare], lookup: Lookup) -> list[KeyValue | None] | None:
    """None where every compare holds, else the present version of each compared key."""
    current = [lookup(compare.key) for compare in compares]
    for compare, present in zip(compares, current, strict=True):
        if compare.mod_revision != (present.mod_revision if present else 0):
            return current
    return None


def changes(operations: Sequence[Operation], lookup: Lookup, revision: int) -> list[Change]:
    """The changes of ``operations`` at ``revision``; deleting what does not exist is none."""
    made = []
    for operation in operations:
        present = lookup(operation.key)
        if isinstance(operation, Delete):
            if present is not None:
                made.append(_deletion(present, revision))
            continue
        version = KeyValue(
            key=operation.key,
            value=operation.value,
            create_revision=present.create_revision if present else revision,
            mod_revision=revision,
            version=present.version + 1 if present else 1,
            lease=operation.lease,
        )
        event = StoreEvent(
            type="put",
            key=operation.key,
            revision=revision,
            value=operation.value,
            create_revision=version.create_revision,
            previous=present,
        )
        made.append(Change(event=event, version=version))
    return made


def _deletion(present: KeyValue, revision: int) -> Change:
    event = StoreEvent(
        type="delete",
        key=present.key,
        revision=revision,
        create_revision=present.create_revision,
        previous=present,
    )
    return Change(event=event, version=None)
