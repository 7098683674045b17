"""What policies ask about the kinds that are served, beyond what all of admission does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from steersman.apiserver.admission.matching import GroupVersionKind, Versions
from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from steersman.schema.kind import Kind
from steersman.schema.managedfields.typed import Type


class PolicyKinds(Versions, Protocol):
    def resource_of(self, api_version: str, kind: str) -> Resource | None:
        """The resource whose objects have this ``apiVersion`` and ``kind``; None where none is served."""

    def fields_type(self, kind: Kind, of: GroupVersionKind) -> Type | None:
        """How values of ``of``, one of the kinds of the resource of ``kind``, are merged; None where that is not known."""

    def unknown_fields(self, kind: Kind, obj: Object, of: GroupVersionKind) -> Sequence[str]:
        """Fields that ``of`` does not have; of custom kinds none is told. Raises ``APIError`` where types are wrong."""
