"""Types as ownership sees them: what is one field, what is made of fields, and how elements of lists are told apart.

Made from the definitions (for custom resources: from their schemas), each type once, when a value of it is first met.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Literal

from steersman.schema import definitions, zerovalues
from steersman.schema.defaults import NONE, default_of
from steersman.schema.definitions import Definition
from steersman.schema.managedfields import fieldset

Form = Literal["leaf", "struct", "map", "keyed", "set", "any"]
"""``leaf``: owned as a whole (scalars, atomic lists and maps). ``struct`` and ``map``: by field. ``keyed`` and ``set``: lists
by element. ``any``: as the value says; maps by field, the rest as leaves."""

ABSENT: Any = object()
_SCALARS = ("string", "integer", "number", "boolean")


class UntypedElement(ValueError):
    """An element of a list that cannot be told apart: its key fields are missing, or it is of the wrong type."""


class Type:
    """One type. ``fields`` is for structs only, ``element`` for lists and maps."""

    __slots__ = (
        "_field_type",
        "_fields",
        "_inner",
        "_within",
        "_zero_scalars",
        "_zeros",
        "element",
        "expects",
        "form",
        "keys",
        "zero_source",
    )

    def __init__(
        self,
        form: Form,
        *,
        expects: str = "",
        element: Type | None = None,
        keys: tuple[tuple[str, Any], ...] = (),
        field_type: Callable[[str], Type | None] | None = None,
        zero_source: Callable[[], Iterable[tuple[str, Any]]] | None = None,
        within: Callable[[], Type] | None = None,
    ) -> None:
        self.form = form
        self.expects = expects
        """JSON type of a valid value: an OpenAPI type name, ``scalar``, or empty for any."""
        self.element = element
        self.keys = keys
        """Key fields of a keyed list, each with the default that stands in for it (``ABSENT``: none)."""
        self._field_type = field_type
        self._fields: dict[str, Type | None] = {}
        self._within = within
        self._inner: Type | None = None
        self.zero_source = zero_source
        self._zeros: dict[str, Any] | None = None
        self._zero_scalars: Sequence[tuple[str, Any]] | None = None

    def field(self, name: str) -> Type | None:
        """The type of a declared field of a struct; None for others."""
        if self._field_type is None:
            return None
        try:
            return self._fields[name]
        except KeyError:
            found = self._field_type(name)
            if found is not None:
                self._fields[name] = found
            return found

    @property
    def within(self) -> Type | None:
        """What an atomic value is made of: the type of an atomic list's elements, or of an atomic map if it were owned by
        field. Ownership does not look there, validation does."""
        if self._inner is None and self._within is not None:
            self._inner = self._within()
        return self._inner

    def child(self, name: str) -> Type | None:
        """The type of a field or entry; None where the type has no such field."""
        return self.field(name) or self.element

    @property
    def zeros(self) -> dict[str, Any]:
        """Fields that upstream writes even when nobody set them, with what it writes: ``resources: {}`` of a container.
        It compares with an object of nothing but these when one is created."""
        if self._zeros is None:
            self._zeros = dict(self.zero_source()) if self.zero_source is not None else {}
        return self._zeros

    @property
    def zero_scalars(self) -> Sequence[tuple[str, Any]]:
        """Those of ``zeros`` that are no structures and not null: their fields may be there and nobody's."""
        if self._zero_scalars is None:
            self._zero_scalars = [
                (name, zero) for name, zero in self.zeros.items() if not (zero is None or isinstance(zero, dict))
            ]
        return self._zero_scalars

    def step(self, item: Any) -> str:
        """The path step to an element of this list. Raises ``UntypedElement``."""
        if self.form == "set":
            if item is None or isinstance(item, (dict, list)):
                what = "an explicit null" if item is None else "a map type" if isinstance(item, dict) else "a list type"
                raise UntypedElement(f"associative list without keys has an element that's {what}")
            return fieldset.value_step(item)
        if not isinstance(item, dict):
            what = "a null element" if item is None else "non-map elements"
            raise UntypedElement(f"associative list with keys may not have {what}")
        key = {name: value for name, default in self.keys if (value := item.get(name, default)) is not ABSENT}
        if not key:
            names = " ".join(f'"{name}"' for name, _ in self.keys)
            raise UntypedElement(
                f"associative list with keys has an element that omits all key fields [{names}] "
                "(and doesn't have default values for any key fields)"
            )
        return fieldset.key_step(key) if len(key) > 1 else fieldset.single_key_step(*key.popitem())


ANY = Type("any")
LEAF = Type("leaf", expects="scalar")
_BY_SCALAR: Mapping[str, Type] = {name: Type("leaf", expects=name) for name in _SCALARS}


def atomic_list(element: Callable[[], Type]) -> Type:
    """A list that is owned as a whole."""
    return Type("leaf", expects="array", within=element)


def atomic_map(granular: Callable[[], Type]) -> Type:
    """A map or structure that is owned as a whole; ``granular``: its type if it were not."""
    return Type("leaf", expects="object", within=granular)


@cache
def type_of(definition: str, *, granular: bool = False) -> Type:
    """The type of a built-in definition; ``granular``: of a field that is owned by field, though others of its kind are owned
    as a whole. Raises ``definitions.UnknownDefinition``."""
    if definition in (definitions.QUANTITY, definitions.INT_OR_STRING):
        return LEAF
    schema = definitions.definition(definition)
    properties: Mapping[str, Definition] = schema.get("properties", {})
    if not properties:
        return ANY if schema.get("type") in (None, "object") else _of(schema, "", "")
    if schema.get("x-kubernetes-map-type") == "atomic" and not granular:
        return atomic_map(lambda: type_of(definition, granular=True))

    def field_type(name: str) -> Type | None:
        child = properties.get(name)
        return None if child is None else _of(child, definition, name)

    def zeros() -> Iterable[tuple[str, Any]]:
        found = zerovalues.of_definition(definition)
        yield from ((name, zero()) for name, zero in found.written)
        yield from ((name, None) for name in found.null)

    return Type("struct", expects="object", field_type=field_type, zero_source=zeros)


def _of(schema: Definition, definition: str, field: str) -> Type:
    """The type of a field's, an element's or an entry's schema."""
    name = definitions.reference(schema)
    if schema.get("x-kubernetes-map-type") == "atomic":
        return atomic_map(lambda: type_of(name, granular=True) if name else _map_of(schema))
    if name:
        return type_of(name, granular=schema.get("x-kubernetes-map-type") == "granular")
    kind = schema.get("type")
    if kind == "array":
        return _list_of(schema)
    if kind == "object":
        return _map_of(schema)
    return _BY_SCALAR.get(str(kind), ANY)


def _map_of(schema: Definition) -> Type:
    values = schema.get("additionalProperties")
    return Type("map", expects="object", element=_of(values, "", "")) if values else ANY


def _list_of(schema: Definition) -> Type:
    list_type = schema.get("x-kubernetes-list-type")
    keys = schema.get("x-kubernetes-list-map-keys", ())
    if list_type is None and "merge" in schema.get("x-kubernetes-patch-strategy", "").split(","):
        merge_key = schema.get("x-kubernetes-patch-merge-key")
        list_type, keys = ("map", (merge_key,)) if merge_key else ("set", ())
    if list_type == "set":
        return Type("set", expects="array", element=_of(schema["items"], "", ""))
    if list_type != "map":
        return atomic_list(lambda: _of(schema["items"], "", ""))
    element = definitions.reference(schema["items"])
    defaults = {name: default_of(element, name) if element else NONE for name in keys}
    listed = tuple((name, ABSENT if default is NONE else default) for name, default in defaults.items())
    return Type("keyed", expects="array", element=_of(schema["items"], "", ""), keys=listed)
