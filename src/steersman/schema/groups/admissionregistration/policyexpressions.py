"""The expressions of one admission policy: its variables, each known to those after it, and what is written with them.

Source: "Variable composition" in the documentation of ValidatingAdmissionPolicy; MutatingAdmissionPolicy for patches.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from steersman.schema.groups.admissionregistration.expressions import (
    Expression,
    Variables,
    compile_in,
    declarations,
    environment,
)

if TYPE_CHECKING:
    from steersman.cel import Declared, Environment
    from steersman.cel.types import Type

VARIABLES = "variables"


@cache
def _patching_environment(variables: Variables) -> Environment:
    """With ``Object{…}``, ``JSONPatch{…}`` and ``jsonpatch.escapeKey``."""
    from steersman.cel import Environment
    from steersman.cel.libraries import kubernetes, patches

    return Environment(
        variables=declarations(variables),
        libraries=(*kubernetes.REGISTRY, patches.LIBRARY),
        homogeneous=True,
        object_type=patches.object_type,
        field_type=patches.field_type,
    )


class PolicyExpressions:
    """Compiles a policy's expressions. Variables are added first, in their order.

    ``overrides`` gives variables better types than every policy can rely on, as type checking does for ``object``.
    """

    def __init__(
        self, *, has_params: bool, has_variables: bool, overrides: Mapping[str, Type | Declared] | None = None
    ) -> None:
        self._has_params = has_params
        self._overrides = overrides or {}
        self._types: dict[str, Type] | None = {} if has_variables else None
        self._environments: dict[tuple[Variables, bool], Environment] = {}

    def add_variable(self, name: str, text: str) -> Expression:
        """One that does not compile is of any type."""
        from steersman.cel import types

        found = compile_in(self._environment(), text)
        assert self._types is not None, "a policy without variables has none"
        self._types[name] = types.DYN if found.program is None else _as_field(found.program.result_type)
        self._environments.clear()
        return found

    def condition(self, text: str) -> Expression:
        from steersman.cel import types

        return compile_in(self._environment(), text, (types.BOOL,))

    def message(self, text: str) -> Expression:
        """Messages may not depend on what somebody may do."""
        from steersman.cel import types

        return compile_in(self._environment(authorizer=False), text, (types.STRING,))

    def annotation(self, text: str) -> Expression:
        from steersman.cel import types

        return compile_in(self._environment(), text, (types.STRING, types.NULL))

    def apply_configuration(self, text: str) -> Expression:
        from steersman.cel.libraries.patches import OBJECT_TYPE

        return compile_in(self._environment(patches=True), text, (OBJECT_TYPE,))

    def json_patch(self, text: str) -> Expression:
        from steersman.cel import types
        from steersman.cel.libraries.patches import JSON_PATCH_TYPE

        return compile_in(self._environment(patches=True), text, (types.list_of(JSON_PATCH_TYPE),))

    def issues(self, text: str) -> str:
        """What is wrong with the types of an expression, whatever it returns; empty: nothing."""
        from steersman.cel import CompileError, InstantiationError

        try:
            self._environment().compile(text)
        except CompileError as error:
            return str(error)
        except InstantiationError:
            pass  # its types are right
        return ""

    def _environment(self, *, authorizer: bool = True, patches: bool = False) -> Environment:
        variables = Variables(params=self._has_params, authorizer=authorizer)
        found = self._environments.get((variables, patches))
        if found is None:
            base = _patching_environment(variables) if patches else environment(variables)
            found = self._environments[variables, patches] = self._extended(base, variables)
        return found

    def _extended(self, base: Environment, variables: Variables) -> Environment:
        from steersman.cel import Declared, types

        if self._types is None and not self._overrides:
            return base
        declared: dict[str, Type | Declared] = dict(declarations(variables))
        declared |= {name: found for name, found in self._overrides.items() if name in declared}
        if self._types is not None:
            fields = {name: Declared(type=found) for name, found in self._types.items()}
            declared[VARIABLES] = Declared(
                type=types.object_of("kubernetes.variables"), fields=fields, keeps_nulls=True
            )
        return base.with_variables(declared)


def _as_field(found: Type) -> Type:
    """What is known of a variable's type to those who use it: of libraries' types and of objects nothing."""
    from steersman.cel import types

    match found.kind:
        case "list" | "map":
            return types.Type(found.kind, found.name, tuple(map(_as_field, found.parameters)))
        case "opaque" | "object" | "type" | "param" | "error":
            return types.DYN
    return found
