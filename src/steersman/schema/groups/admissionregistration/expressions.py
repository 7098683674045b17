"""CEL expressions of admission: the variables that they have, their types, and what compiling says to whoever wrote them.

Shared by match conditions of webhooks and by everything in admission policies, at validation and at evaluation alike.
Source: "Common Expression Language in Kubernetes" and the ``request`` and ``namespaceObject`` types of the admission policies' page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from steersman.meta.errors import FieldError, invalid

if TYPE_CHECKING:
    from steersman.cel import Declared, Environment, Program
    from steersman.cel.types import Type

OBJECT, OLD_OBJECT, PARAMS, REQUEST, NAMESPACE = "object", "oldObject", "params", "request", "namespaceObject"
AUTHORIZER, REQUEST_RESOURCE = "authorizer", "authorizer.requestResource"
_REMEMBERED = 4096


class Variables(Struct, frozen=True, kw_only=True):
    """Which of the variables that not every expression has this one has."""

    params: bool = False
    authorizer: bool = True


class Expression(Struct, frozen=True, kw_only=True):
    """An expression and what became of it: a program, or the reason why there is none."""

    text: str
    program: Program | None
    problem: str = ""
    """Upstream's detail: ``compilation failed: …``, ``must evaluate to bool but got int``."""
    is_internal: bool = False
    """The problem shows only when the program is made: upstream calls it an internal error."""

    def errors(self, path: str) -> list[FieldError]:
        """What validation says of the expression that is written at ``path``."""
        if not self.problem:
            return []
        error = invalid(path, self.text, self.problem)
        return [replace(error, type="InternalError", value=None)] if self.is_internal else [error]


@cache
def environment(variables: Variables) -> Environment:
    """Of validations and match conditions. Callers with more (``variables``, patches) extend it with ``with_variables``
    or make their own of ``declarations``."""
    from steersman.cel import Environment  # the engine is for those who have expressions
    from steersman.cel.libraries import kubernetes

    return Environment(variables=declarations(variables), libraries=kubernetes.REGISTRY, homogeneous=True)


def declarations(variables: Variables) -> Mapping[str, Type | Declared]:
    """The types of the variables."""
    from steersman.cel import types
    from steersman.cel.libraries.authorizer import AUTHORIZER_TYPE, RESOURCE_CHECK_TYPE

    declared: dict[str, Type | Declared] = {
        OBJECT: types.DYN,
        OLD_OBJECT: types.DYN,
        NAMESPACE: _namespace(),
        REQUEST: _request(),
    }
    if variables.params:
        declared[PARAMS] = types.DYN
    if variables.authorizer:
        declared |= {AUTHORIZER: AUTHORIZER_TYPE, REQUEST_RESOURCE: RESOURCE_CHECK_TYPE}
    return declared


def compile_in(environment: Environment, text: str, returns: Sequence[Type] = ()) -> Expression:
    """``text`` as an expression of one of the types ``returns`` (none: of any). Never raises."""
    from steersman.cel import CompileError, InstantiationError

    try:
        program = environment.compile(text)
    except CompileError as error:
        return Expression(text=text, program=None, problem=f"compilation failed: {error}")
    except InstantiationError as error:
        return Expression(text=text, program=None, problem=f"program instantiation failed: {error}", is_internal=True)
    if returns and program.result_type not in returns:
        names = [_type_name(wanted) for wanted in returns]
        wanted = names[0] if len(names) == 1 else f"one of [{' '.join(names)}]"
        problem = f"must evaluate to {wanted} but got {_type_name(program.result_type)}"
        return Expression(text=text, program=None, problem=problem)
    return Expression(text=text, program=program)


def _type_name(found: Type) -> str:
    """Unlike the checker's messages this has the names that types have at evaluation: ``google.protobuf.Timestamp``."""
    if not found.parameters:
        return found.name
    return f"{found.name}({', '.join(map(_type_name, found.parameters))})"


@lru_cache(maxsize=_REMEMBERED)
def compile_condition(text: str, variables: Variables) -> Expression:
    """An expression that says yes or no."""
    from steersman.cel import types

    return compile_in(environment(variables), text, (types.BOOL,))


def _object(name: str, /, **fields: Declared) -> Declared:
    from steersman.cel import Declared, types

    return Declared(type=types.object_of(f"kubernetes.{name}"), fields=fields)


def _list(element: Declared) -> Declared:
    from steersman.cel import Declared, types

    return Declared(type=types.list_of(element.type), element=element)


def _map(element: Declared) -> Declared:
    from steersman.cel import Declared, types

    return Declared(type=types.map_of(types.STRING, element.type), element=element)


def _request() -> Declared:
    """An AdmissionRequest without its objects, which are variables of their own, and without its uid."""
    from steersman.cel import Declared, types

    text = Declared(type=types.STRING)
    kind = _object("GroupVersionKind", group=text, version=text, kind=text)
    resource = _object("GroupVersionResource", group=text, version=text, resource=text)
    user = _object("UserInfo", username=text, uid=text, groups=_list(text), extra=_map(_list(text)))
    return _object(
        "AdmissionRequest",
        kind=kind,
        resource=resource,
        subResource=text,
        requestKind=kind,
        requestResource=resource,
        requestSubResource=text,
        name=text,
        namespace=text,
        operation=text,
        userInfo=user,
        dryRun=Declared(type=types.BOOL),
        options=Declared(type=types.DYN),
    )


def _namespace() -> Declared:
    from steersman.cel import Declared, types

    text, time, number = (Declared(type=known) for known in (types.STRING, types.TIMESTAMP, types.INT))
    condition = _object(
        "NamespaceCondition", status=text, type=text, lastTransitionTime=time, message=text, reason=text
    )
    metadata = _object(
        "NamespaceMetadata",
        name=text,
        generateName=text,
        namespace=text,
        labels=_map(text),
        annotations=_map(text),
        UID=text,
        creationTimestamp=time,
        deletionGracePeriodSeconds=number,
        deletionTimestamp=time,
        generation=number,
        resourceVersion=text,
        finalizers=_list(text),
    )
    return _object(
        "Namespace",
        metadata=metadata,
        spec=_object("NamespaceSpec", finalizers=_list(text)),
        status=_object("NamespaceStatus", conditions=_list(condition), phase=text),
    )
