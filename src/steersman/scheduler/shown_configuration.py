"""A KubeSchedulerConfiguration with everything that it leaves to defaults: what ``/configz`` and ``--write-config-to`` show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.meta.objects import Object
from steersman.scheduler.plugin_args import API_VERSION
from steersman.scheduler.pod_info import DEFAULT_SCHEDULER_NAME
from steersman.scheduler.profiles import POINTS, PluginSpec, multi_point

_CPU_AND_MEMORY = [{"name": "cpu", "weight": 1}, {"name": "memory", "weight": 1}]
_ARGS: Mapping[str, Mapping[str, Any]] = {
    "DefaultPreemption": {"minCandidateNodesPercentage": 10, "minCandidateNodesAbsolute": 100},
    "DynamicResources": {"filterTimeout": "10s", "bindingTimeout": "10m0s"},
    "InterPodAffinity": {"hardPodAffinityWeight": 1, "ignorePreferredTermsOfExistingPods": False},
    "NodeAffinity": {},
    "NodeResourcesBalancedAllocation": {"resources": _CPU_AND_MEMORY},
    "NodeResourcesFit": {"scoringStrategy": {"type": "LeastAllocated", "resources": _CPU_AND_MEMORY}},
    "PodTopologySpread": {"defaultingType": "System"},
    "VolumeBinding": {"bindTimeoutSeconds": 600},
}
"""Arguments that plugins have where a profile states none."""


def shown(document: Mapping[str, Any], plugins: Sequence[PluginSpec]) -> Object:
    """``document`` must be valid."""
    return {
        "apiVersion": API_VERSION,
        "kind": "KubeSchedulerConfiguration",
        "parallelism": document.get("parallelism") or 16,
        "leaderElection": {
            "leaderElect": True, "leaseDuration": "15s", "renewDeadline": "10s", "retryPeriod": "2s",
            "resourceLock": "leases", "resourceName": "kube-scheduler", "resourceNamespace": "kube-system",
            **_stated(document.get("leaderElection")),
        },
        "clientConnection": {
            "kubeconfig": "", "acceptContentTypes": "", "contentType": "application/json", "qps": 0, "burst": 0,
            **_stated(document.get("clientConnection")),
        },
        "enableProfiling": False,
        "enableContentionProfiling": False,
        "percentageOfNodesToScore": document.get("percentageOfNodesToScore") or 0,
        "podInitialBackoffSeconds": document.get("podInitialBackoffSeconds") or 1,
        "podMaxBackoffSeconds": document.get("podMaxBackoffSeconds") or 10,
        "profiles": [_profile(profile, plugins) for profile in document.get("profiles") or [{}]],
        **({"extenders": document["extenders"]} if document.get("extenders") else {}),
        "delayCacheUntilActive": bool(document.get("delayCacheUntilActive")),
    }  # fmt: skip


def _profile(profile: Mapping[str, Any], plugins: Sequence[PluginSpec]) -> Object:
    stated = profile.get("plugins") or {}
    points = {point: stated.get(point) or {} for point in POINTS}
    enabled = [{"name": entry.name, "weight": entry.weight} for entry in multi_point(stated, plugins)]
    arguments = {entry["name"]: dict(entry.get("args") or {}) for entry in profile.get("pluginConfig") or ()}
    for name, defaults in _ARGS.items():
        arguments[name] = {**defaults, **_stated(arguments.get(name))}
    return {
        **{name: value for name, value in profile.items() if name not in ("plugins", "pluginConfig")},
        "schedulerName": profile.get("schedulerName") or DEFAULT_SCHEDULER_NAME,
        "plugins": {**points, "multiPoint": {**_stated(stated.get("multiPoint")), "enabled": enabled}},
        "pluginConfig": [
            {"name": name, "args": {"apiVersion": API_VERSION, "kind": f"{name}Args", **args}}
            for name, args in arguments.items()
        ],
    }


def _stated(fields: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (fields or {}).items() if value is not None}
