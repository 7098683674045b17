"""The versions of what requests are about, among the kinds that this server serves now: for ``matchPolicy: Equivalent``."""

from __future__ import annotations

from collections.abc import Sequence

from steersman.apiserver.admission.matching import GroupVersionKind, Target, Versions, kind_of
from steersman.apiserver.api import ServedKinds
from steersman.meta.errors import InternalError
from steersman.meta.objects import Object
from steersman.schema.kind import Kind


class ServedVersions:
    """Kinds are equivalent where they are stored in one place: versions of a kind, and groups that share one (events)."""

    def __init__(self, kinds: ServedKinds) -> None:
        self._kinds = kinds

    def equivalents(self, kind: Kind, subresource: str) -> Sequence[Target]:
        return [
            Target(other.resource, kind_of(other, subresource))
            for other in self._family(kind)
            if not subresource or any(part.name == subresource for part in other.subresources)
        ]

    def _family(self, kind: Kind) -> Sequence[Kind]:
        served = self._kinds.lookup(kind.resource.group, kind.resource.version, kind.resource.plural)
        if served is not None and served.versions:
            return served.versions
        return [other for other in self._kinds.registry.kinds if other.storage_prefix == kind.storage_prefix]

    async def convert(self, kind: Kind, obj: Object, to: GroupVersionKind) -> Object:
        resource = kind.resource
        served = self._kinds.lookup(resource.group, resource.version, resource.plural)
        if served is None:
            raise InternalError(f"unable to convert to {to}: unknown kind")
        return await served.converted(obj, to.api_version)


def _conforms(kinds: ServedKinds) -> Versions:
    return ServedVersions(kinds)
