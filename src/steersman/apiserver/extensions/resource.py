"""A custom resource as its definition makes it: a ``Kind`` for every version, with the definition's schema behind its hooks.

What a schema is compiled to is made when it is first used: most definitions of a cluster are hardly ever written to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from steersman.apiserver import objectmeta
from steersman.apiserver.extensions.rulemetrics import RuleMetrics
from steersman.meta.errors import FieldError, invalid
from steersman.meta.names import label_key_errors
from steersman.meta.objects import Object, is_true
from steersman.meta.resources import Resource
from steersman.schema.customresources import coercion, lists, validation
from steersman.schema.customresources.coercion import Coercion
from steersman.schema.customresources.columns import columns_of
from steersman.schema.customresources.embedded import embedded_errors
from steersman.schema.customresources.findings import NOWHERE, UNCORRELATED
from steersman.schema.customresources.jsonpath import JSONPathError, parse
from steersman.schema.customresources.publishing import definition_name, published
from steersman.schema.customresources.rules import Rules, compile_rules, has_rules
from steersman.schema.customresources.scale import ScalePaths
from steersman.schema.customresources.values import go_number
from steersman.schema.definitions import Definition
from steersman.schema.kind import Kind
from steersman.schema.registry import version_priority
from steersman.schema.subresources import SCALE, STATUS

LISTED_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
"""Of custom resources, in upstream's order."""
TERMINATING_VERBS = ("delete", "deletecollection", "get", "list", "watch")
_BLOCKING = frozenset(
    {
        "FieldValueNotSupported",
        "FieldValueRequired",
        "FieldValueTooLong",
        "FieldValueTooMany",
        "FieldValueTypeInvalid",
    }
)
"""Errors after which CEL rules are not evaluated: they may rely on types and sizes."""
_NOT_CHECKED = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)


_STANDARD_FINALIZERS = ("orphan", "foregroundDeletion")


def _finalizer_warnings(obj: Object, known: Sequence[str]) -> list[str]:
    """Names that somebody else may use as well; of those that are new."""
    found = []
    for name in sorted(set(obj["metadata"].get("finalizers") or ()).difference(known)):
        at = f'metadata.finalizers: "{name}"'
        found += [f"{at}: {text}" for text in label_key_errors(name)]
        if "/" not in name and name not in _STANDARD_FINALIZERS:
            form = " including a path (/)" if "." in name else ""
            found.append(
                f"{at}: prefer a domain-qualified finalizer name{form} to avoid accidental conflicts with other finalizer "
                "writers"
            )
    return found


class CustomVersion:
    """One version of a custom resource, served or only stored."""

    def __init__(self, crd: Object, version: Mapping[str, Any], metrics: RuleMetrics) -> None:
        self._metrics = metrics
        spec, names = crd["spec"], crd["status"]["acceptedNames"]
        self.name: str = version["name"]
        self.is_served = bool(version.get("served"))
        self._version = version
        self.schema: Mapping[str, Any] = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        self.api_version = f"{spec['group']}/{self.name}"
        subresources = version.get("subresources") or {}
        self.has_status = subresources.get("status") is not None
        scale = subresources.get("scale")
        self.scale = ScalePaths.of(scale) if scale is not None else None
        self.warnings: Sequence[str] = (_deprecation(spec, version),) if version.get("deprecated") else ()
        self.kind = self._kind(crd, spec, names)

    def _kind(self, crd: Object, spec: Mapping[str, Any], names: Mapping[str, Any]) -> Kind:
        group, plural = spec["group"], names["plural"]
        return Kind(
            resource=Resource(
                group=group,
                version=self.name,
                plural=plural,
                kind=names["kind"],
                namespaced=spec["scope"] == "Namespaced",
            ),
            definition=definition_name(group, self.name, names["kind"]),
            singular=names["singular"],
            list_kind=names["listKind"],
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            listed_verbs=TERMINATING_VERBS if is_true(crd, "Terminating") else LISTED_VERBS,
            subresources=(*((STATUS,) if self.has_status else ()), *((SCALE,) if self.scale is not None else ())),
            storage_prefix=f"{group}/{plural}",
            storage_version=storage_version(spec),
            columns=columns_of(self._version),
            selectable_fields=_selectable(self._version),
            allows_unconditional_update=False,
            has_status=self.has_status,
            counts_generation=True,
            is_custom=True,
            qualifies_finalizers=False,
            default=self._default,
            prepare_status_update=_keep_metadata,
            validate=_validated_as_a_change,
            validate_create=self._creation_errors,
            validate_update=self._update_errors,
            validate_status_update=self._status_errors,
            warnings=lambda obj: _finalizer_warnings(obj, ()),
            update_warnings=lambda new, old: _finalizer_warnings(new, old["metadata"].get("finalizers") or ()),
        )

    @cached_property
    def coercion(self) -> Coercion:
        return coercion.compiled(self.schema)

    @cached_property
    def _validator(self) -> validation.Validator:
        return validation.compiled(self.schema)

    @cached_property
    def _status_validator(self) -> validation.Validator:
        return validation.compiled((self.schema.get("properties") or {}).get("status") or {})

    @cached_property
    def _rules(self) -> Rules | None:
        return self._metrics.compiled(lambda: compile_rules(self.schema)) if has_rules(self.schema) else None

    def _default(self, obj: Object) -> None:
        new = self.coercion.defaulted(self.coercion.coerced(obj))
        if new is not obj:
            obj.clear()
            obj.update(new)

    def _creation_errors(self, obj: Object) -> list[FieldError]:
        errors = self._validator.errors(obj) + self._scale_errors(obj)
        errors += embedded_errors(self.schema, obj, _metadata_errors) + lists.list_errors(self.schema, obj)
        return errors + self._rule_errors(errors, obj, None)

    def _update_errors(self, new: Object, old: Object) -> list[FieldError]:
        errors = self._validator.update_errors(new, old) + self._scale_errors(new)
        errors += embedded_errors(self.schema, new, _metadata_errors)
        errors += self._changed_list_errors(new, old)
        return errors + self._rule_errors(errors, new, old)

    def _status_errors(self, new: Object, old: Object) -> list[FieldError]:
        errors: list[FieldError] = []
        if "status" in new:
            before = old.get("status", UNCORRELATED)
            errors += self._status_validator.update_errors(new["status"], before, field="status")
        if self.scale is not None:
            errors += self.scale.status_errors(new)
        errors += self._changed_list_errors(new, old)
        return errors + self._rule_errors(errors, new, old)

    def _scale_errors(self, obj: Object) -> list[FieldError]:
        return [] if self.scale is None else self.scale.spec_errors(obj) + self.scale.status_errors(obj)

    def _changed_list_errors(self, new: Object, old: Object) -> list[FieldError]:
        """Broken sets and maps are put up with in objects that had some already."""
        errors = lists.list_errors(self.schema, new)
        return [] if errors and lists.list_errors(self.schema, old) else errors

    def _rule_errors(self, errors: list[FieldError], new: Object, old: Object | None) -> list[FieldError]:
        rules = self._rules
        if rules is None:
            return []
        if any(error.type in _BLOCKING for error in errors):
            return [invalid(NOWHERE, None, _NOT_CHECKED)]
        return self._metrics.evaluated(lambda: rules.errors(new, old))


class CustomResource(Struct, frozen=True, kw_only=True):
    """What one definition defines, in all versions. ``definition`` is the object it was made from."""

    definition: Object
    versions: Mapping[str, CustomVersion]
    storage_version: str
    is_terminating: bool
    definitions: Mapping[str, Definition]
    """For OpenAPI, of the served versions."""

    @classmethod
    def of(cls, crd: Object, metrics: RuleMetrics) -> CustomResource:
        """``crd``'s names have been accepted."""
        spec, names = crd["spec"], crd["status"]["acceptedNames"]
        definitions: dict[str, Definition] = {}
        for version in spec["versions"]:
            if version.get("served"):
                definitions |= published(spec, version, kind=names["kind"], list_kind=names["listKind"])
        return cls(
            definition=crd,
            versions={version["name"]: CustomVersion(crd, version, metrics) for version in spec["versions"]},
            storage_version=storage_version(spec),
            is_terminating=is_true(crd, "Terminating"),
            definitions=definitions,
        )

    def is_of(self, crd: Object) -> bool:
        """``crd`` says the same: nothing has to be made anew."""
        own = self.definition
        return (
            own["metadata"]["uid"] == crd["metadata"]["uid"]
            and own["spec"] == crd["spec"]
            and own["status"]["acceptedNames"] == crd["status"]["acceptedNames"]
            and self.is_terminating == is_true(crd, "Terminating")
        )


def storage_version(spec: Mapping[str, Any]) -> str:
    """Raises ``ValueError`` where there is none, which validation does not let in."""
    for version in spec["versions"]:
        if version.get("storage"):
            return str(version["name"])
    raise ValueError("no version is stored")


def _deprecation(spec: Mapping[str, Any], version: Mapping[str, Any]) -> str:
    own = version.get("deprecationWarning")
    if own is not None:
        return str(own)
    group, kind, name = spec["group"], spec["names"]["kind"], version["name"]
    text = f"{group}/{name} {kind} is deprecated"
    better = [
        other["name"]
        for other in spec["versions"]
        if other.get("served")
        and not other.get("deprecated")
        and version_priority(other["name"]) > version_priority(name)
    ]
    return f"{text}; use {group}/{max(better, key=version_priority)} {kind}" if better else text


def _selectable(version: Mapping[str, Any]) -> Mapping[str, Callable[[Object], str]]:
    fields: dict[str, Callable[[Object], str]] = {}
    for entry in version.get("selectableFields") or ():
        try:
            path = parse(entry["jsonPath"])
        except JSONPathError:
            continue
        fields[entry["jsonPath"].removeprefix(".")] = lambda obj, path=path: _field_text(path.find(obj))  # type: ignore[misc]
    return fields


def _field_text(found: Sequence[Any]) -> str:
    if not found or found[0] is None:
        return ""
    value = found[0]
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else go_number(value)


def _keep_metadata(new: Object, old: Object) -> None:
    """Writing the status of a custom resource leaves everything else alone."""
    metadata = new["metadata"]
    managed = metadata.get("managedFields")
    metadata.clear()
    metadata.update(old["metadata"])
    if managed is not None:
        metadata["managedFields"] = managed


def _validated_as_a_change(obj: Object) -> list[FieldError]:
    """Nothing: creation and update are validated each in one go, an update against what was there."""
    return []


_EMBEDDED_KIND = Kind(
    resource=Resource(group="", version="", plural="", kind="", namespaced=True),
    definition="",
    singular="",
    storage_prefix="",
    name_errors=lambda name: [],
)
_EMBEDDED_CLUSTER_KIND = replace(_EMBEDDED_KIND, resource=replace(_EMBEDDED_KIND.resource, namespaced=False))


def _metadata_errors(metadata: Mapping[str, Any], path: str) -> list[FieldError]:
    """Rules of the metadata of an object that is embedded at ``path``; it needs no name."""
    kind = _EMBEDDED_KIND if metadata.get("namespace") else _EMBEDDED_CLUSTER_KIND
    named = {**metadata, "name": metadata.get("name") or "fakename"}
    return [
        replace(error, field=f"{path}{error.field.removeprefix('metadata')}")
        for error in objectmeta.validate(named, kind)
    ]
