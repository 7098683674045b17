"""LimitPodHardAntiAffinityTopology: hard anti-affinity keeps pods apart by node only, as by zone it would empty whole zones."""

from __future__ import annotations

from steersman.apiserver.admission.api import AdmissionRequest, ValidatingPlugin
from steersman.meta.errors import Forbidden
from steersman.meta.resources import PODS

ALLOWED = "kubernetes.io/hostname"


class LimitPodHardAntiAffinityTopology:
    NAME = "LimitPodHardAntiAffinityTopology"
    OPERATIONS = ("CREATE", "UPDATE")
    RESOURCES = (PODS,)
    SUBRESOURCES = ("",)

    async def validate(self, request: AdmissionRequest) -> None:
        if request.kind.resource != PODS or request.subresource:
            return
        affinity = ((request.obj or {}).get("spec") or {}).get("affinity") or {}
        terms = (affinity.get("podAntiAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        for term in terms:
            if term.get("topologyKey") != ALLOWED:
                why = (
                    f"affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey {term.get('topologyKey') or ''} but "
                    f"only key {ALLOWED} is allowed"
                )
                raise Forbidden.of(PODS, request.name, why)


def _conforms() -> ValidatingPlugin:
    return LimitPodHardAntiAffinityTopology()
