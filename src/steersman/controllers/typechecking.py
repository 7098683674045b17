"""Type checking of ValidatingAdmissionPolicies: expressions compiled anew with the types of what the policy is about.

A policy is accepted whatever its expressions do with the fields of objects, since those are of any type then; here they have the
types of the resources that its rules name (up to ten for a rule, no wildcards, no subresources), and what does not fit is told.
Source: "Type checking" in the documentation of ValidatingAdmissionPolicy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct, field

from steersman.cel import Declared, declare
from steersman.client.api import Client, decoded
from steersman.meta.objects import Object
from steersman.schema.groups.admissionregistration.policyexpressions import PolicyExpressions

_MOST_TYPES = 10
_REFERENCE = "#/components/schemas/"
_INT_OR_STRING = "x-kubernetes-int-or-string"


class TypeName(Struct, frozen=True, order=True):
    group: str
    version: str
    kind: str

    def __str__(self) -> str:
        """As Go prints a GroupVersionKind."""
        return f"{self.group}/{self.version}, Kind={self.kind}"

    @classmethod
    def of(cls, api_version: str, kind: str) -> TypeName:
        group, _, version = api_version.rpartition("/")
        return cls(group, version, kind)

    @property
    def path(self) -> str:
        """Of discovery and OpenAPI documents, below their roots."""
        return f"apis/{self.group}/{self.version}" if self.group else f"api/{self.version}"


class PolicyTypes(Struct, frozen=True, kw_only=True):
    """The types of a policy, as far as they are known."""

    objects: Mapping[TypeName, Declared] = field(default_factory=dict)
    params: Declared | None = None


def warnings(policy: Object, types: PolicyTypes) -> list[Object]:
    """The ExpressionWarnings of a policy."""
    spec = policy["spec"]
    found: list[Object] = []
    for index, validation in enumerate(spec.get("validations") or ()):
        for name in ("expression", "messageExpression"):
            text = validation.get(name)
            warning = _warning(text, spec, types) if text else ""
            if warning:
                found.append({"fieldRef": f"spec.validations[{index}].{name}", "warning": warning})
    return found


def _warning(text: str, spec: Mapping[str, Any], types: PolicyTypes) -> str:
    told = []
    for name, declared in sorted(types.objects.items()):
        overrides: dict[str, Declared] = {"object": declared, "oldObject": declared}
        if types.params is not None:
            overrides["params"] = types.params
        expressions = PolicyExpressions(
            has_params=spec.get("paramKind") is not None, has_variables=True, overrides=overrides
        )
        for variable in spec.get("variables") or ():
            expressions.add_variable(variable["name"], variable["expression"])
        issues = expressions.issues(text)
        if issues:
            told.append(f"{name}: {issues}\n")
    return "\n".join(told)


class SchemaSource:
    """Types as the API server publishes them. Made for one policy: what has been fetched is kept."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._documents: dict[str, Any] = {}

    async def types_of(self, policy: Object) -> PolicyTypes:
        """Raises ``APIError`` and ``Unreachable``."""
        spec = policy["spec"]
        objects: dict[TypeName, Declared] = {}
        for name in await self._named(spec):
            declared = await self._declared(name)
            if declared is not None:
                objects[name] = declared
        kind = spec.get("paramKind")
        params = None if kind is None else await self._declared(TypeName.of(kind["apiVersion"], kind["kind"]))
        return PolicyTypes(objects=objects, params=params)

    async def _named(self, spec: Mapping[str, Any]) -> set[TypeName]:
        found: set[TypeName] = set()
        for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
            count = 0
            for group, version, plural in _resources(rule):
                kind = await self._kind(group, version, plural)
                if kind is None:
                    continue
                found.add(TypeName(group, version, kind))
                count += 1
                if count == _MOST_TYPES:
                    return found
        return found

    async def _kind(self, group: str, version: str, plural: str) -> str | None:
        document = await self._document("/" + TypeName(group, version, "").path)
        for entry in document.get("resources") or ():
            if entry["name"] == plural:
                return str(entry["kind"])
        return None

    async def _declared(self, name: TypeName) -> Declared | None:
        document = await self._document(f"/openapi/v3/{name.path}")
        schemas: Mapping[str, Any] = (document.get("components") or {}).get("schemas") or {}
        wanted = {"group": name.group, "version": name.version, "kind": name.kind}
        for schema in schemas.values():
            if wanted in (schema.get("x-kubernetes-group-version-kind") or ()):
                return declare(_resolved(schema, schemas, frozenset()), name.kind, resource_root=True)
        return None

    async def _document(self, path: str) -> Any:
        """What is not there is empty."""
        if path not in self._documents:
            response = await self._client.request("GET", path)
            self._documents[path] = decoded(response) if response.status == 200 else {}
        return self._documents[path]


def _resources(rule: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """(group, version, plural) that a rule spells out."""
    groups, versions = sorted(rule.get("apiGroups") or ()), sorted(rule.get("apiVersions") or ())
    if any("*" in name for name in (*groups, *versions)):
        return
    plurals: Sequence[str] = sorted(name for name in rule.get("resources") or () if not set(name) & set("*/"))
    for group in groups:
        for version in versions:
            for plural in plurals:
                yield group, version, plural


def _resolved(schema: Mapping[str, Any], schemas: Mapping[str, Any], within: frozenset[str]) -> Mapping[str, Any]:
    """The schema with what it refers to in place; what refers to itself is an object of which nothing is known."""
    reference = _reference(schema)
    if reference:
        if reference in within:
            return {"type": "object"}
        return _resolved(schemas.get(reference) or {}, schemas, within | {reference})
    found = dict(schema)
    if schema.get("format") == "int-or-string":
        found[_INT_OR_STRING] = True
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), Mapping):
            found[name] = _resolved(schema[name], schemas, within)
    if "properties" in schema:
        found["properties"] = {name: _resolved(part, schemas, within) for name, part in schema["properties"].items()}
    return found


def _reference(schema: Mapping[str, Any]) -> str:
    """References that have a description or a default beside them are wrapped in ``allOf``."""
    parts = (schema, *(schema.get("allOf") or ()))
    return next((str(part["$ref"]).removeprefix(_REFERENCE) for part in parts if "$ref" in part), "")
