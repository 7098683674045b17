"""Managed fields of what requests write: as which manager, and which fields a path can set at all.

Every write through an endpoint passes here between defaulting and mutating admission, as upstream's does; what the server
writes on its own (binding, eviction, marking for deletion) does not. Sources: KEP-555, upstream's GetResetFields of each
registry strategy and its fieldmanager's handling of admission and of timestamps.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.metrics.comparisons import Way
from steersman.apiserver.options import WriteOptions
from steersman.apiserver.served import Served, resolving
from steersman.meta.errors import BadRequest
from steersman.meta.objects import Object
from steersman.schema import definitions
from steersman.schema.managedfields import fieldset, managers, operations
from steersman.schema.managedfields.fieldset import FieldSet, MalformedFields
from steersman.schema.managedfields.operations import Version, Versions
from steersman.schema.managedfields.typed import Type, UntypedElement

UNKNOWN = "unknown"
"""The manager of clients that say neither."""
_AGENT_LIMIT_BYTES = 128
_INVALID_AFTER_ADMISSION = (
    ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated mutating "
    "admission controller; please fix your requests: {}"
)
_SPEC_AND_METADATA = ("spec", "metadata")

_RESET: Mapping[tuple[str, str, str], Sequence[str]] = {
    ("", "namespaces", "finalize"): ("status",),
    ("", "pods", "status"): ("spec", "metadata.deletionTimestamp", "metadata.ownerReferences"),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", "status"): _SPEC_AND_METADATA,
    ("apiregistration.k8s.io", "apiservices", "status"): _SPEC_AND_METADATA,
    ("apps", "deployments", "status"): ("spec", "metadata.labels"),
    ("certificates.k8s.io", "certificatesigningrequests", ""): ("spec", "status"),
    ("certificates.k8s.io", "certificatesigningrequests", "approval"): ("spec", "status.certificate"),
    ("certificates.k8s.io", "certificatesigningrequests", "status"): ("spec", "status.conditions"),
    ("flowcontrol.apiserver.k8s.io", "flowschemas", "status"): _SPEC_AND_METADATA,
    ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", "status"): _SPEC_AND_METADATA,
    ("internal.apiserver.k8s.io", "storageversions", "status"): _SPEC_AND_METADATA,
    ("networking.k8s.io", "servicecidrs", "status"): _SPEC_AND_METADATA,
    ("resource.k8s.io", "devicetaintrules", "status"): _SPEC_AND_METADATA,
    ("resource.k8s.io", "resourceclaims", "status"): _SPEC_AND_METADATA,
    ("resource.k8s.io", "resourcepoolstatusrequests", "status"): _SPEC_AND_METADATA,
    ("scheduling.k8s.io", "podgroups", "status"): _SPEC_AND_METADATA,
    ("storage.k8s.io", "volumeattachments", "status"): _SPEC_AND_METADATA,
    ("storagemigration.k8s.io", "storageversionmigrations", "status"): _SPEC_AND_METADATA,
}
"""(group, plural, subresource) -> what a write there cannot set, where that is not the rule of ``reset_fields``."""

_POD_SPEC = "io.k8s.api.core.v1.PodSpec"
_CONTAINER = "io.k8s.api.core.v1.Container"
_RESIZED_LISTS = ("containers", "initContainers")
_RESIZED = ("resources", "resizePolicy")


def manager_of(call: Call, options: WriteOptions) -> str:
    """The manager a request writes as: its ``fieldManager``, else what stands before the slash of its user agent."""
    return options.field_manager or _agent_manager(call.header("user-agent"))


@lru_cache(maxsize=4096)
def _agent_manager(user_agent: str) -> str:
    name, size_bytes = "", 0
    for character in user_agent.partition("/")[0]:
        if not character.isprintable():
            continue
        size_bytes += len(character.encode())
        if size_bytes > _AGENT_LIMIT_BYTES:
            break
        name += character
    return name or UNKNOWN


async def updated(
    api: API, served: Served, call: Call, live: Object | None, new: Object, options: WriteOptions, subresource: str = ""
) -> Object:
    """``new`` with managed fields: what it changes of ``live`` (None: it is created) is the request's manager's.

    Raises ``APIError`` where managed fields of another version cannot be converted.
    """

    def compute() -> Object:
        return operations.update(
            live,
            new,
            manager=manager_of(call, options),
            api_version=served.resource.api_version,
            subresource=subresource,
            now=api.clock.now(),
            structure=served.fields_type,
            ignored=_ignored(served, subresource, (live, new)),
            versions=_versions(api, served),
        )

    return await resolving(compute) if served.converts_remotely else compute()


def applied(
    api: API, served: Served, call: Call, live: Object | None, config: Object, options: WriteOptions, subresource: str
) -> Object:
    """``live`` (None: it is created) after the request's manager applied ``config``; not yet decoded nor defaulted.

    Raises ``ApplyConflict``, ``BadRequest``, and ``APIError`` where ``config`` does not fit the kind.
    """
    resource = served.resource
    check_kind(config, resource.api_version, resource.kind)
    return operations.apply(
        live,
        config,
        manager=manager_of(call, options),
        api_version=resource.api_version,
        force=bool(options.force),
        subresource=subresource,
        now=api.clock.now(),
        structure=served.fields_type,
        ignored=_ignored(served, subresource, (live, config)),
        versions=_versions(api, served),
    )


def check_kind(config: Object, api_version: str, kind: str) -> None:
    """Raises ``BadRequest`` for a configuration of another kind or version."""
    if (config.get("apiVersion"), config.get("kind")) != (api_version, kind):
        raise BadRequest(f"invalid object type: {operations.group_version_kind(config)}")


def after_admission(call: Call, obj: Object, before: Any) -> None:
    """Put managed fields back that mutating admission has made invalid; ``obj``'s metadata may be changed in place."""
    metadata = obj["metadata"]
    entries = metadata.get("managedFields")
    if entries is before or entries == before:
        return
    try:
        managers.decode_checked(entries)
    except (MalformedFields, AttributeError, TypeError) as error:
        call.warn(_INVALID_AFTER_ADMISSION.format(error))
        obj["metadata"] = {**metadata, "managedFields": before}
        if before is None:
            del obj["metadata"]["managedFields"]


def compared(new: Object, old: Object) -> Way:
    """Whether the objects are equal but for times of managed fields: then there is nothing that is worth a write."""
    mine, theirs = new["metadata"].get("managedFields") or (), old["metadata"].get("managedFields") or ()
    if len(mine) != len(theirs):
        return "unequal_objects_fast"
    for entry, other in zip(mine, theirs, strict=True):
        if entry is not other and {**entry, "time": other.get("time")} != {**other, "time": other.get("time")}:
            return "unequal_objects_fast"
    if not mine:
        return "equal_objects" if new == old else "unequal_objects_slow"
    same = {**new, "metadata": {**new["metadata"], "managedFields": theirs}} == old
    return "equal_objects" if same else "unequal_objects_slow"


def _versions(api: API, served: Served) -> Versions:
    def version(api_version: str) -> Version | None:
        group, _, name = api_version.rpartition("/")
        other = api.kinds.lookup(group, name, served.resource.plural)
        if other is None:
            return None
        return Version(
            type=other.fields_type,
            convert=lambda obj: _between(served, other, obj),
            convert_back=lambda obj: _between(other, served, obj),
        )

    return version


def _between(source: Served, target: Served, obj: Object) -> Object:
    """An object of one version in another. Built-in kinds convert to and from the stored version only."""
    return target.from_storage(obj if source.converts_remotely else source.to_storage(obj))


def _ignored(served: Served, subresource: str, objs: Iterable[Object | None]) -> FieldSet:
    """What a write to this path cannot set, and so does not own."""
    resource = served.resource
    if not resource.group and resource.plural == "pods":
        if subresource == "ephemeralcontainers":
            return _all_but_ephemeral_containers()
        if subresource == "resize":
            return _all_but_resources(served.fields_type, objs)
    if served.kind.is_custom and subresource == "status":
        return _custom_status()
    return _reset(resource.group, resource.plural, subresource, served.kind.has_status)


@cache
def _custom_status() -> FieldSet:
    return fieldset.of_paths(*_SPEC_AND_METADATA)


@cache
def _reset(group: str, plural: str, subresource: str, has_status: bool) -> FieldSet:
    own = _RESET.get((group, plural, subresource))
    if own is not None:
        return fieldset.of_paths(*own)
    return operations.reset_fields(has_status=has_status, subresource=subresource)


@cache
def _all_but_ephemeral_containers() -> FieldSet:
    others = _properties(_POD_SPEC) - {"ephemeralContainers"}
    return fieldset.of_paths("metadata", "status", *(f"spec.{name}" for name in sorted(others)))


def _all_but_resources(pod: Type, objs: Iterable[Object | None]) -> FieldSet:
    """All but the resources and resize policies of the containers that ``objs`` have."""
    ignored = _all_but_containers()
    fixed: FieldSet = {f"f:{name}": fieldset.EMPTY for name in sorted(_properties(_CONTAINER) - set(_RESIZED))}
    spec_type = pod.field("spec")
    assert spec_type is not None, "pods have a spec"
    for obj in objs:
        spec = (obj or {}).get("spec") or {}
        for name in _RESIZED_LISTS:
            list_type = spec_type.field(name)
            assert list_type is not None, "pods have containers"
            try:
                steps = {list_type.step(container): fixed for container in spec.get(name) or ()}
            except UntypedElement:
                continue
            if steps:
                ignored = fieldset.union(ignored, {"f:spec": {f"f:{name}": steps}})
    return ignored


@cache
def _all_but_containers() -> FieldSet:
    others = _properties(_POD_SPEC) - set(_RESIZED_LISTS)
    return fieldset.of_paths("metadata", "status", *(f"spec.{name}" for name in sorted(others)))


def _properties(definition: str) -> set[str]:
    return set(definitions.definition(definition)["properties"])
