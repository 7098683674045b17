"""The messages of the API as facts: which number and type each field has on the wire, and what Go makes of its absence.

``tables/<group>.<version>.txt`` is written by ``tools/protobuf_tables.py``. A paragraph is a message, a line a field:

    Probe
      1 . ProbeHandler                         the fields of this one stand in the parent's own JSON object
      2 initialDelaySeconds int32              0 is absent in JSON
      7 terminationGracePeriodSeconds *int64   a pointer in Go: 0 is a value, absence is another
    ContainerStatus
      4 ready! bool                            never absent in JSON (structures: ``{}``; lists, maps, pointers: null)
    Verbs []string                             a list in JSON, a message with ``items`` on the wire
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal

from msgspec import Struct

Shape = Literal["", "list", "map"]
SCALARS = frozenset({"string", "bool", "int32", "int64", "double", "bytes"})


class UnknownMessage(KeyError):
    """The API has no such message in protobuf."""


class Field(Struct, frozen=True, kw_only=True):
    """One field of a message."""

    number: int
    name: str
    """In JSON; empty where the message's fields stand in the parent's object."""
    type: str
    """A scalar, or a message by its whole name: ``core.v1.Container``. Of elements, for lists and maps."""
    shape: Shape = ""
    is_pointer: bool = False
    is_always: bool = False
    """Never absent in JSON; lists, maps and pointers are null there."""

    @property
    def is_inline(self) -> bool:
        return not self.name


class Message(Struct, frozen=True, kw_only=True):
    """One message: its fields, or the type of its elements where its JSON is a list."""

    name: str
    fields: Sequence[Field] = ()
    element: str = ""


@cache
def _paragraphs(package: str) -> Mapping[str, Sequence[str]]:
    """{message: its lines} of one table; empty where there is none."""
    path = importlib.resources.files(__package__) / f"tables/{package}.txt"
    if not path.is_file():
        return {}
    paragraphs = (text.splitlines() for text in path.read_text(encoding="utf-8").split("\n\n"))
    return {lines[0].partition(" ")[0]: lines for lines in paragraphs}


def exists(name: str) -> bool:
    package, _, message = name.rpartition(".")
    return message in _paragraphs(package)


def message(name: str) -> Message:
    """The message called ``core.v1.Pod``. Raises ``UnknownMessage``."""
    package, _, short = name.rpartition(".")
    lines = _paragraphs(package).get(short)
    if lines is None:
        raise UnknownMessage(name)
    element = lines[0].partition("[]")[2]
    if element:
        return Message(name=name, element=_whole(element, package))
    return Message(name=name, fields=[_field(line, package) for line in lines[1:]])


def _field(line: str, package: str) -> Field:
    number, name, go_type = line.split()
    shape: Shape = ""
    if go_type.startswith("[]"):
        shape, go_type = "list", go_type[2:]
    elif go_type.startswith("map[string]"):
        shape, go_type = "map", go_type.removeprefix("map[string]")
    return Field(
        number=int(number),
        name="" if name == "." else name.removesuffix("!"),
        type=_whole(go_type.removeprefix("*"), package),
        shape=shape,
        is_pointer=go_type.startswith("*"),
        is_always=name.endswith("!"),
    )


def _whole(name: str, package: str) -> str:
    return name if name in SCALARS or "." in name else f"{package}.{name}"
