"""The versions of what requests are about, among the kinds that this server serves now: for ``matchPolicy: Equivalent``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from steersman.apiserver.admission.matching import GroupVersionKind, Target, kind_of
from steersman.apiserver.admission.policies.kinds import PolicyKinds
from steersman.apiserver.api import ServedKinds
from steersman.apiserver.decoding import private_object
from steersman.apiserver.served import Served
from steersman.meta.errors import InternalError
from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from steersman.schema.kind import Kind
from steersman.schema.managedfields.typed import Type, type_of
from steersman.schema.structural import compiled

_DEFINITIONS: Mapping[GroupVersionKind, str] = {
    GroupVersionKind("", "v1", "Binding"): "io.k8s.api.core.v1.Binding",
    GroupVersionKind("autoscaling", "v1", "Scale"): "io.k8s.api.autoscaling.v1.Scale",
    GroupVersionKind("policy", "v1", "Eviction"): "io.k8s.api.policy.v1.Eviction",
    GroupVersionKind("authentication.k8s.io", "v1", "TokenRequest"): "io.k8s.api.authentication.v1.TokenRequest",
}
"""Of kinds that only subresources take. Options of a CONNECT have none: they are flat."""


class ServedVersions:
    """Kinds are equivalent where they are stored in one place: versions of a kind, and groups that share one (events)."""

    def __init__(self, kinds: ServedKinds) -> None:
        self._kinds = kinds

    @property
    def generation(self) -> int:
        return self._kinds.generation

    def equivalents(self, kind: Kind, subresource: str) -> Sequence[Target]:
        return [
            Target(other.resource, kind_of(other, subresource))
            for other in self._family(kind)
            if not subresource or any(part.name == subresource for part in other.subresources)
        ]

    def _family(self, kind: Kind) -> Sequence[Kind]:
        served = self._served(kind)
        if served is not None and served.versions:
            return served.versions
        return [other for other in self._kinds.registry.kinds if other.storage_prefix == kind.storage_prefix]

    def _served(self, kind: Kind) -> Served | None:
        return self._kinds.lookup(kind.resource.group, kind.resource.version, kind.resource.plural)

    async def convert(self, kind: Kind, obj: Object, to: GroupVersionKind) -> Object:
        source = self._kinds.registry.by_api_version(obj.get("apiVersion") or "", obj.get("kind") or "") or kind
        served = self._served(source) or self._served(kind)
        if served is None:
            raise InternalError(f"unable to convert to {to}: unknown kind")
        return await served.converted(obj, to.api_version)

    def decode(self, kind: Kind, obj: Object, of: GroupVersionKind) -> Object:
        definition = _DEFINITIONS.get(of)
        if definition is not None and of != kind_of(kind, ""):
            decoded: Object = compiled(definition).decode(private_object(obj))
            return decoded
        other = next((other for other in self._family(kind) if kind_of(other, "") == of), None)
        if other is None:
            return private_object(obj)
        served = self._served(other) or self._served(kind)
        assert served is not None, "the kind of a request is served"
        return served.defaulted(other, private_object(obj))

    # -- what policies ask

    def resource_of(self, api_version: str, kind: str) -> Resource | None:
        found = self._kinds.registry.by_api_version(api_version, kind)
        return None if found is None else found.resource

    def fields_type(self, kind: Kind, of: GroupVersionKind) -> Type | None:
        definition = _DEFINITIONS.get(of)
        if definition is not None and of != kind_of(kind, ""):
            return type_of(definition)
        other = next((other for other in self._family(kind) if kind_of(other, "") == of), None)
        served = None if other is None else self._served(other)
        return None if served is None else served.fields_type

    def unknown_fields(self, kind: Kind, obj: Object, of: GroupVersionKind) -> Sequence[str]:
        other = self._kinds.registry.by_kind(of.group, of.version, of.kind)
        definition = _DEFINITIONS.get(of) or (None if other is None or other.is_custom else other.definition)
        unknown: list[str] = []
        if definition is not None:
            compiled(definition).decode(private_object(obj), unknown)
        return unknown


def _conforms(kinds: ServedKinds) -> PolicyKinds:
    return ServedVersions(kinds)
