"""A custom resource as this server serves it in one version: read through its schemas, stored in its storage version."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from steersman.apiserver.extensions.resource import CustomResource, CustomVersion
from steersman.apiserver.served import Entity, ObjectStructure, Served, Unstored
from steersman.meta.errors import BadRequest, Forbidden, InternalError
from steersman.meta.objects import Object
from steersman.meta.selectors import FieldSelector
from steersman.schema.customresources import ownership
from steersman.schema.kind import Kind
from steersman.schema.managedfields.typed import Type
from steersman.store.stored import Stored

_REMEMBERED = 100_000
"""Keys of stored objects that are known to be as the schema has them; beyond that many all are looked at anew."""


class CustomServed(Served):
    """One version of a custom resource.

    A stored object is pruned and defaulted by the version it is in, then converted and pruned by the version that is
    asked for; as a rule it was written so already, and is sent as it is stored.
    """

    def __init__(self, custom: CustomResource, version: CustomVersion) -> None:
        super().__init__(version.kind)
        self.version = version
        self.custom = custom
        self.converts = True
        self.warnings = version.warnings
        self.versions = tuple(other.kind for other in custom.versions.values())
        self._storage = custom.versions[custom.storage_version]
        self._current: dict[str, int] = {}

    @property
    def has_strategic_merge(self) -> bool:
        return False

    @property
    def has_lasting_structure(self) -> bool:
        return False

    @cached_property
    def message(self) -> str:
        """Custom resources have no protobuf."""
        return ""

    @cached_property
    def structure(self) -> ObjectStructure:
        return _CustomStructure(self.version)

    @cached_property
    def fields_type(self) -> Type:
        return ownership.compiled(self.version.schema)

    def check_fields(self, selector: FieldSelector) -> None:
        for field, _, _ in selector.terms:
            if field not in self.fields or (field == "metadata.namespace" and not self.resource.namespaced):
                raise BadRequest(f"field label not supported: {field}")

    def entity(self, stored: Entity) -> Entity:
        if not isinstance(stored, Stored):
            return super().entity(stored)
        if self._current.get(stored.key) == stored.revision:
            return stored
        obj = self.from_storage(stored.obj)
        if obj is not stored.obj:
            return Unstored(obj)
        if len(self._current) >= _REMEMBERED:
            self._current.clear()
        self._current[stored.key] = stored.revision
        return stored

    def is_outdated(self, stored: Entity) -> bool:
        obj = self.from_storage(stored.obj)
        return self.to_storage(obj) != stored.obj

    def check_creation(self, name: str) -> None:
        if self.custom.is_terminating:
            why = "create not allowed while custom resource definition is terminating"
            raise Forbidden.of(self.resource, name, why)

    def from_storage(self, obj: Object) -> Object:
        written = self._version_of(obj)
        try:
            read = written.coercion.defaulted(written.coercion.coerced(obj))
            return read if written is self.version else self._in_version(read, self.version)
        except BadRequest:
            return obj  # what was stored malformed is shown as it is, so that it can be repaired

    def to_storage(self, obj: Object) -> Object:
        return obj if self._version_of(obj) is self._storage else self._in_version(obj, self._storage)

    async def converted(self, obj: Object, api_version: str) -> Object:
        version = self.custom.versions.get(api_version.rpartition("/")[2])
        if version is None:
            raise InternalError(f"request to convert CR to an invalid version: {api_version}")
        return obj if self._version_of(obj) is version else self._in_version(obj, version)

    def defaulted(self, kind: Kind, obj: Object) -> Object:
        """Not pruned: what webhooks add is for the next ones to see, and pruned when mutation is over."""
        new: Object = self.custom.versions[kind.resource.version].coercion.defaulted(obj)
        return new

    def _version_of(self, obj: Object) -> CustomVersion:
        version = obj["apiVersion"].rpartition("/")[2]
        return self.custom.versions.get(version, self._storage)

    def _in_version(self, obj: Object, version: CustomVersion) -> Object:
        """Conversion strategy None: only the name of the version changes."""
        converted: Object = version.coercion.coerced({**obj, "apiVersion": version.api_version})
        return converted


class _CustomStructure:
    """Bodies of one version."""

    def __init__(self, version: CustomVersion) -> None:
        self._version = version

    def decode(self, obj: Any, unknown: list[str] | None = None) -> Any:
        try:
            return self._version.coercion.coerced(obj, unknown)
        except RecursionError as error:
            raise BadRequest("exceeded max depth") from error


def _conforms(version: CustomVersion) -> ObjectStructure:
    return _CustomStructure(version)
