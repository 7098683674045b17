"""A kind as this server serves it: where its objects are, what they look like, what can be selected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property

from steersman.meta.errors import BadRequest, Invalid, FieldError
from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from steersman.meta.selectors import FieldSelector
from steersman.schema.kind import Kind
from steersman.schema.structural import Structure, compiled
from steersman.store.objects import Stored

FieldReader = Callable[[Object], str]

_META_FIELDS: Mapping[str, FieldReader] = {
    "metadata.name": lambda obj: str(obj["metadata"].get("name") or ""),
    "metadata.namespace": lambda obj: str(obj["metadata"].get("namespace") or ""),
}


class Served:
    """One kind in one version. Made once per kind; what is expensive is made when it is first used."""

    def __init__(self, kind: Kind, storage: Kind | None = None) -> None:
        self.kind = kind
        self.resource: Resource = kind.resource
        self.storage = storage or kind
        """The version in which objects are stored."""
        self.converts = self.storage.resource.api_version != kind.resource.api_version
        self.prefix = f"/registry/{kind.storage_prefix}/"

    def __repr__(self) -> str:
        return f"Served({self.resource.api_version} {self.resource.plural})"

    def key(self, namespace: str, name: str) -> str:
        """The store's key of an object."""
        return f"{self.prefix}{namespace}/{name}" if self.resource.namespaced else f"{self.prefix}{name}"

    def collection(self, namespace: str) -> str:
        """The store's prefix of all objects, of one namespace where that is given."""
        return f"{self.prefix}{namespace}/" if namespace and self.resource.namespaced else self.prefix

    @cached_property
    def structure(self) -> Structure:
        return compiled(self.kind.definition)

    @cached_property
    def fields(self) -> Mapping[str, FieldReader]:
        return {**_META_FIELDS, **self.kind.selectable_fields}

    def check_fields(self, selector: FieldSelector) -> None:
        """Raises ``BadRequest`` where the kind has no such field selector."""
        for field, _, _ in selector.terms:
            if field in self.fields:
                continue
            if self.kind.selectable_fields:
                raise BadRequest(f"field label not supported: {field}")
            raise BadRequest(f'"{field}" is not a known field selector: only "metadata.name", "metadata.namespace"')

    def obj(self, stored: Stored) -> Object:
        """A stored object in this version; shared, unless it had to be converted."""
        if not self.converts or self.kind.convert is None:
            return stored.obj
        return self.kind.convert(stored.obj, self.resource.version)

    def to_storage(self, obj: Object) -> Object:
        """The object in the version that is stored."""
        if not self.converts or self.kind.convert is None:
            return obj
        return self.kind.convert(obj, self.storage.resource.version)

    def invalid(self, name: str, errors: list[FieldError]) -> Invalid:
        return Invalid.of(self.resource.kind, self.resource.group, name, errors)
