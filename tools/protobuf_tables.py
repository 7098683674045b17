"""Write ``src/steersman/schema/protobuf/tables/``: the wire numbers of every field of the served API, as facts.

    python tools/protobuf_tables.py <staging/src/k8s.io of a Kubernetes checkout>

Numbers and types come from the published ``generated.proto`` files. They do not say which fields are pointers in Go, whose
zero values mean something, and which fields Go leaves out of JSON when they are zero; the struct tags do. The form of the
tables is described in ``src/steersman/schema/protobuf/tables.py``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

TABLES = Path(__file__).parent.parent / "src/steersman/schema/protobuf/tables"

_GROUPS = [
    "admission",
    "admissionregistration",
    "apps",
    "authentication",
    "authorization",
    "autoscaling",
    "batch",
    "certificates",
    "coordination",
    "core",
    "discovery",
    "events",
    "flowcontrol",
    "networking",
    "node",
    "policy",
    "rbac",
    "resource",
    "scheduling",
    "storage",
]
PACKAGES: tuple[str, ...] = (
    *(f"api/{group}/v1" for group in _GROUPS),
    "api/autoscaling/v2",
    "api/apidiscovery/v2",
    "apimachinery/pkg/apis/meta/v1",
    "apimachinery/pkg/apis/meta/v1beta1",
    "apiextensions-apiserver/pkg/apis/apiextensions/v1",
    "kube-aggregator/pkg/apis/apiregistration/v1",
)
"""What is served. A version more: one row here."""

WRITTEN_BY_HAND = frozenset(["Time", "MicroTime", "Duration", "Timestamp", "FieldsV1", "JSON"])
"""Messages whose JSON is another form than an object of their fields: ``specials.py`` has them."""

_MESSAGE = re.compile(r"^message (\w+) \{(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^\s*(?:(optional|repeated) )?(map<string, ?[\w.]+>|[\w.]+) (\w+) = (\d+);", re.MULTILINE)
_STRUCT = re.compile(r"^type (\w+) struct \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_SAME_AS = re.compile(r"^type (\w+) (?:metav1\.)?(\w+)$", re.MULTILINE)
_TAGGED = re.compile(r"^\s*(?:(\w+)\s+)?([\w.*\[\]]+)\s+`([^`]*protobuf:\"[^`]*)`", re.MULTILINE)
_NUMBER = re.compile(r'protobuf:"\w+,(\d+),')
_WIRE_NAME = re.compile(r'protobuf:"[^"]*name=(\w+)')
_JSON = re.compile(r'json:"([^"]*)"')


@dataclass(frozen=True, slots=True, kw_only=True)
class GoField:
    """What a struct tag and the field's type say beyond the wire."""

    name: str
    """In JSON; empty where the fields of this one stand in its parent's object."""
    is_pointer: bool
    options: frozenset[str]


def go_structs(package: Path, known: Mapping[str, dict[int, GoField]]) -> dict[str, dict[int, GoField]]:
    """{struct: {field number: what Go says}} of a package. ``known``: those of meta/v1, which others name anew."""
    found: dict[str, dict[int, GoField]] = {}
    same: dict[str, str] = {}
    for path in sorted(package.glob("*.go")):
        if path.name.endswith("_test.go") or path.name.startswith(("zz_generated", "generated")):
            continue
        text = path.read_text()
        same.update(_SAME_AS.findall(text))
        for struct, body in _STRUCT.findall(text):
            fields: dict[int, GoField] = {}
            for _, go_type, tags in _TAGGED.findall(body):
                number, json = _NUMBER.search(tags), _JSON.search(tags)
                if number is None:
                    continue
                # Structures that write their JSON themselves have no names in it: the wire's own.
                name, *options = (json or _WIRE_NAME.search(tags)).group(1).split(",")  # type: ignore[union-attr]
                fields[int(number.group(1))] = GoField(
                    name=name, is_pointer=go_type.startswith("*"), options=frozenset(options)
                )
            found[struct] = fields
    for struct, other in same.items():
        fields_of_other = found.get(other) or known.get(other)
        if fields_of_other:
            found[struct] = fields_of_other
    return found


def type_name(text: str, package: str) -> str:
    """``meta.v1.ObjectMeta`` for ``.k8s.io.apimachinery.pkg.apis.meta.v1.ObjectMeta``, ``Pod`` within its own package."""
    parts = text.lstrip(".").split(".")
    if len(parts) == 1:
        return text
    *where, name = parts
    short = ".".join(where[-2:] if re.fullmatch(r"v\d\w*", where[-1]) else where[-1:])
    return name if short == package else f"{short}.{name}"


def lines(proto: str, structs: Mapping[str, Mapping[int, GoField]], package: str) -> Iterator[str]:
    """The table of one package."""
    for message, body in _MESSAGE.findall(proto):
        if message in WRITTEN_BY_HAND:
            continue
        rows = sorted(_FIELD.findall(body), key=lambda row: int(row[3]))
        yield ""
        if rows and message not in structs:  # a named list in Go: its JSON is the list itself
            if [row[2:] for row in rows] != [("items", "1")]:
                raise SystemExit(f"{package}.{message} is no struct and no list: write it by hand")
            yield f"{message} []{type_name(rows[0][1], package)}"
            continue
        yield message
        for label, proto_type, name, number in rows:
            field = structs[message].get(int(number))
            if field is None:
                raise SystemExit(f"{package}.{message}.{name}: no struct tag with number {number}")
            yield f"  {number} {_field(label, proto_type, field, package)}"


def _field(label: str, proto_type: str, field: GoField, package: str) -> str:
    if not field.name:
        return f". {type_name(proto_type, package)}"
    is_omitted = not field.options.isdisjoint(("omitempty", "omitzero"))
    if proto_type.startswith("map<"):
        value = proto_type.removeprefix("map<string,").rstrip(">").strip()
        return f"{field.name}{'' if is_omitted else '!'} map[string]{type_name(value, package)}"
    if label == "repeated":
        return f"{field.name}{'' if is_omitted else '!'} []{type_name(proto_type, package)}"
    name = type_name(proto_type, package)
    if field.is_pointer:
        return f"{field.name}{'' if is_omitted else '!'} *{name}"
    is_struct = proto_type.rpartition(".")[2][0].isupper()
    is_always = "omitzero" not in field.options and (is_struct or "omitempty" not in field.options)
    return f"{field.name}{'!' if is_always else ''} {name}"


def main() -> None:
    source = Path(sys.argv[1])
    TABLES.mkdir(exist_ok=True)
    meta = go_structs(source / "apimachinery/pkg/apis/meta/v1", {})
    for directory in PACKAGES:
        package = ".".join(directory.split("/")[-2:])
        proto = (source / directory / "generated.proto").read_text()
        text = "\n".join(lines(proto, go_structs(source / directory, meta), package)).strip()
        (TABLES / f"{package}.txt").write_text(f"{text}\n")


if __name__ == "__main__":
    main()
