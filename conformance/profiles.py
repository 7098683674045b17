"""Profiles beside the default one: what arguments of plugins change about decisions."""

from __future__ import annotations

from typing import Any

from steersman.meta.objects import Object

DEFAULT = "default-scheduler"
ZONE = "topology.kubernetes.io/zone"


def _args(plugin: str, **args: Any) -> Object:
    return {"name": plugin, "args": args}


def _strategy(kind: str, *resources: tuple[str, int], shape: tuple[tuple[int, int], ...] = ()) -> Object:
    strategy: Object = {"type": kind, "resources": [{"name": name, "weight": weight} for name, weight in resources]}
    if shape:
        points = [{"utilization": utilization, "score": score} for utilization, score in shape]
        strategy["requestedToCapacityRatio"] = {"shape": points}
    return _args("NodeResourcesFit", scoringStrategy=strategy)


PROFILES: tuple[Object, ...] = (
    {"schedulerName": DEFAULT},
    {
        "schedulerName": "packed",
        "pluginConfig": [
            _strategy("MostAllocated", ("cpu", 3), ("memory", 1), ("example.com/gpu", 5)),
            _args("NodeResourcesBalancedAllocation", resources=[{"name": "cpu", "weight": 1}, {"name": "example.com/gpu", "weight": 1}]),
            _args("InterPodAffinity", hardPodAffinityWeight=57, ignorePreferredTermsOfExistingPods=True),
            _args("DefaultPreemption", minCandidateNodesPercentage=100, minCandidateNodesAbsolute=100),
        ],
        "plugins": {"score": {"disabled": [{"name": "ImageLocality"}], "enabled": [{"name": "NodeAffinity", "weight": 7}]}},
    },
    {
        "schedulerName": "shaped",
        "pluginConfig": [
            _strategy("RequestedToCapacityRatio", ("cpu", 2), ("memory", 1), ("ephemeral-storage", 1), shape=((0, 2), (40, 10), (80, 3), (100, 0))),
            _args("NodeAffinity", addedAffinity={
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "rack", "operator": "NotIn", "values": ["r2"]}]}]
                },
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 30, "preference": {"matchExpressions": [{"key": ZONE, "operator": "In", "values": ["z1"]}]}}
                ],
            }),
            _args("PodTopologySpread", defaultingType="List", defaultConstraints=[
                {"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": "DoNotSchedule"},
                {"maxSkew": 2, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"},
            ]),
        ],
    },
    {
        "schedulerName": "partial",
        "pluginConfig": [
            _args("NodeResourcesFit", ignoredResources=["example.com/card"], ignoredResourceGroups=["other.example.com"]),
        ],
        "plugins": {
            "multiPoint": {"disabled": [{"name": "DefaultPreemption"}, {"name": "VolumeZone"}]},
            "preScore": {"disabled": [{"name": "InterPodAffinity"}]},
            "score": {"disabled": [{"name": "InterPodAffinity"}]},
        },
    },
)  # fmt: skip
