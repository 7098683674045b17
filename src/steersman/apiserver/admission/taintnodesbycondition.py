"""TaintNodesByCondition: a new node is tainted not-ready until the node lifecycle controller has seen it ready."""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin
from steersman.apiserver.admission.defaulttolerationseconds import NOT_READY
from steersman.meta.objects import Object
from steersman.meta.resources import NODES

_TAINT = {"key": NOT_READY, "effect": "NoSchedule"}


class TaintNodesByCondition:
    NAME = "TaintNodesByCondition"
    OPERATIONS = ("CREATE",)
    RESOURCES = (NODES,)
    SUBRESOURCES = ("",)

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        node = request.obj
        if request.kind.resource != NODES or request.subresource or request.operation != "CREATE" or node is None:
            return None
        spec = node.get("spec") or {}
        taints = spec.get("taints") or []
        if any(taint.get("key") == _TAINT["key"] and taint.get("effect") == _TAINT["effect"] for taint in taints):
            return None
        return {**node, "spec": {**spec, "taints": [*taints, _TAINT]}}


def _conforms() -> MutatingPlugin:
    return TaintNodesByCondition()
