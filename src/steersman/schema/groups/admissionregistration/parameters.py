"""Parameters of admission policies and their bindings, as ``kubectl get`` shows them."""

from __future__ import annotations

from steersman.meta.objects import Object
from steersman.schema.cells import UNSET
from steersman.schema.columns import computed, format_selector, value_at


def _kind(obj: Object, now: float) -> str:
    kind = value_at(obj, "spec", "paramKind")
    return UNSET if kind is None else f"{kind.get('apiVersion') or ''}/{kind.get('kind') or ''}"


def _reference(obj: Object, now: float) -> str:
    reference = value_at(obj, "spec", "paramRef") or {}
    if reference.get("name"):
        return f"{reference.get('namespace') or '*'}/{reference['name']}"
    return UNSET if reference.get("selector") is None else format_selector(reference["selector"])


PARAM_KIND = computed(
    "ParamKind",
    _kind,
    description="ParamKind specifies the kind of resources used to parameterize this policy",
)
PARAM_REF = computed(
    "ParamRef",
    _reference,
    description="ParamRef indicates the param resource which sets the configuration param",
)
