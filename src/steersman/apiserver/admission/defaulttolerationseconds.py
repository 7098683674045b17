"""DefaultTolerationSeconds: pods stay for five minutes on a node that is not ready or unreachable, unless they say otherwise."""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, MutatingPlugin
from steersman.meta.objects import Object
from steersman.meta.resources import PODS

NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
DEFAULT_S = 300


class DefaultTolerationSeconds:
    NAME = "DefaultTolerationSeconds"
    OPERATIONS = ("CREATE", "UPDATE")
    RESOURCES = (PODS,)
    SUBRESOURCES = ("",)

    def __init__(self, *, not_ready_s: int = DEFAULT_S, unreachable_s: int = DEFAULT_S) -> None:
        self._seconds = {NOT_READY: not_ready_s, UNREACHABLE: unreachable_s}

    async def mutate(self, request: AdmissionRequest) -> Object | None:
        pod = request.obj
        if request.kind.resource != PODS or request.subresource or pod is None:
            return None
        spec = pod.get("spec") or {}
        tolerations = spec.get("tolerations") or []
        missing = [key for key in self._seconds if not any(_tolerates(entry, key) for entry in tolerations)]
        if not missing:
            return None
        added = [
            {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": self._seconds[key]}
            for key in missing
        ]
        return {**pod, "spec": {**spec, "tolerations": [*tolerations, *added]}}


def _tolerates(toleration: Object, key: str) -> bool:
    return toleration.get("key") in (key, None, "") and toleration.get("effect") in ("NoExecute", None, "")


def _conforms() -> MutatingPlugin:
    return DefaultTolerationSeconds()
