"""Random clusters and pods that use whatever the scheduler looks at, for comparison of decisions."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from conformance import devices
from conformance.profiles import DEFAULT, PROFILES, ZONE
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CSIDRIVERS,
    CSINODES,
    CSISTORAGECAPACITIES,
    DEVICECLASSES,
    PERSISTENTVOLUMECLAIMS,
    PERSISTENTVOLUMES,
    PODDISRUPTIONBUDGETS,
    REPLICASETS,
    RESOURCECLAIMS,
    RESOURCESLICES,
    RUNTIMECLASSES,
    SERVICES,
    STORAGECLASSES,
    Resource,
)

T = TypeVar("T")
HOSTNAME, RACK = "kubernetes.io/hostname", "rack"
APPS = ("web", "db", "cache")
DISKS = 4
DRIVER = "disks.example.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A cluster, and pods that come one after another."""

    namespaces: Mapping[str, Mapping[str, str]]
    objects: Sequence[tuple[Resource, Object]]
    nodes: Sequence[Object]
    pods: Sequence[Object]


def scenario(rng: random.Random, pods: int) -> Scenario:
    tag = f"{rng.randrange(16**6):06x}"
    nodes = [_node(rng, f"n{number}-{tag}") for number in range(rng.randint(2, 8))]
    asked_for = devices.claims(rng, tag, pods // 4)
    volumes = [_volume(rng, f"v{number}-{tag}", nodes) for number in range(4)]
    claims = [_claim(rng, f"c{number}-{tag}", volumes) for number in range(4)]
    return Scenario(
        namespaces={"default": {"team": "a"}, "other": {"team": rng.choice(["a", "b"])}},
        objects=[
            *_fixed(),
            *volumes,
            *claims,
            *_attachable(rng, tag, nodes),
            *((RESOURCESLICES, each) for each in devices.slices(rng, tag, nodes)),
            *((RESOURCECLAIMS, each) for each in asked_for),
        ],
        nodes=nodes,
        pods=[
            _pod(
                rng,
                f"p{number}-{tag}",
                nodes,
                [claim["metadata"]["name"] for _, claim in claims] + [f"disk{number}-{tag}" for number in range(DISKS)],
                asked_for,
            )
            for number in range(pods)
        ],
    )


def _fixed() -> list[tuple[Resource, Object]]:
    def service(app: str) -> Object:
        return {"metadata": {"name": app, "namespace": "default"},
                "spec": {"selector": {"app": app}, "ports": [{"port": 80}]}}  # fmt: skip

    budget = {"metadata": {"name": "db", "namespace": "default"},
              "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "db"}}}}  # fmt: skip
    late = {"metadata": {"name": "late"}, "provisioner": "kubernetes.io/no-provisioner",
            "volumeBindingMode": "WaitForFirstConsumer"}  # fmt: skip
    made = {"metadata": {"name": "made"}, "provisioner": "csi.example.com", "volumeBindingMode": "WaitForFirstConsumer",
            "allowedTopologies": [{"matchLabelExpressions": [{"key": ZONE, "values": ["z1", "z2"]}]}]}  # fmt: skip
    counted = {"metadata": {"name": "counted"}, "provisioner": "counted.example.com",
               "volumeBindingMode": "WaitForFirstConsumer"}  # fmt: skip
    template = {"metadata": {"labels": {"tier": "back"}}, "spec": {"containers": [{"name": "main", "image": "web:1"}]}}
    replicas = {"metadata": {"name": "set", "namespace": "default"},
                "spec": {"replicas": 0, "selector": {"matchLabels": {"tier": "back"}}, "template": template}}  # fmt: skip
    heavy = {"metadata": {"name": "heavy"}, "handler": "heavy", "overhead": {"podFixed": {"cpu": "250m", "memory": "120Mi"}},
             "scheduling": {"nodeSelector": {"kata": "yes"}, "tolerations": [{"key": "a", "operator": "Exists"}]}}  # fmt: skip
    return [
        (STORAGECLASSES, counted),
        (CSIDRIVERS, {"metadata": {"name": "counted.example.com"}, "spec": {"storageCapacity": True}}),
        (REPLICASETS, replicas),
        (RUNTIMECLASSES, heavy),
        *((SERVICES, service(app)) for app in APPS[:2]),
        (PODDISRUPTIONBUDGETS, budget),
        (STORAGECLASSES, late),
        (STORAGECLASSES, made),
        *((DEVICECLASSES, each) for each in devices.classes()),
    ]


def _node(rng: random.Random, name: str) -> Object:
    labels = {HOSTNAME: name}
    if rng.random() < 0.8:
        labels[ZONE] = rng.choice(["z1", "z2", "z3"])
    if rng.random() < 0.5:
        labels[RACK] = rng.choice(["r1", "r2", "7", "12"])
    if rng.random() < 0.7:
        labels["kata"] = "yes"
    amounts = {
        "cpu": rng.choice(["1", "2", "4", "7"]),
        "memory": rng.choice(["2Gi", "3500Mi", "16Gi"]),
        "pods": rng.choice(["3", "8", "110"]),
        "ephemeral-storage": rng.choice(["10Gi", "100Gi"]),
    }
    if rng.random() < 0.5:
        amounts["example.com/gpu"] = rng.choice(["1", "4"])
    if rng.random() < 0.2:
        amounts["hugepages-2Mi"] = rng.choice(["4Mi", "64Mi"])
    images = [{"names": [f"{app}:{rng.choice(['1', 'latest'])}", f"hub.example.com:5000/{app}:latest"], "sizeBytes": size << 20} for app, size in (("web", 400), ("db", 900), ("cache", 50))
              if rng.random() < 0.4]  # fmt: skip
    spec: Object = {}
    taints = _some(rng, [_taint(rng) for _ in range(2)], 0.25)
    if taints:
        spec["taints"] = [*{(taint["key"], taint["effect"]): taint for taint in taints}.values()]
    if rng.random() < 0.1:
        spec["unschedulable"] = True
    conditions = [{"type": "Ready", "status": "True", "reason": "Made"}]
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": spec,
        "status": {"capacity": amounts, "allocatable": amounts, "images": images, "conditions": conditions},
    }


def _taint(rng: random.Random) -> Object:
    effect = rng.choice(["NoSchedule", "PreferNoSchedule", "PreferNoSchedule", "NoExecute"])
    return {"key": rng.choice(["a", "b"]), "value": rng.choice(["", "x"]), "effect": effect}


def _volume(rng: random.Random, name: str, nodes: Sequence[Object]) -> tuple[Resource, Object]:
    where = rng.choice(nodes)["metadata"]["name"]
    expression = {"key": HOSTNAME, "operator": "In", "values": [where]}
    spec = {
        "capacity": {"storage": rng.choice(["1Gi", "5Gi"])},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "late",
        "local": {"path": "/data"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
    }
    return PERSISTENTVOLUMES, {"metadata": {"name": name}, "spec": spec}


def _claim(rng: random.Random, name: str, volumes: Sequence[Any]) -> tuple[Resource, Object]:
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": rng.choice(["late", "made", "missing", "counted"]),
        "resources": {"requests": {"storage": rng.choice(["1Gi", "3Gi", "20Gi"])}},
    }
    return PERSISTENTVOLUMECLAIMS, {"metadata": {"name": name, "namespace": "default"}, "spec": spec}


def provisioned(name: str, claim: Object, node_name: str) -> Object:
    """The volume that a provisioner makes for ``claim``."""
    expression = {"key": HOSTNAME, "operator": "In", "values": [node_name]}
    return {
        "metadata": {"name": name},
        "spec": {
            "capacity": claim["spec"]["resources"]["requests"],
            "accessModes": claim["spec"]["accessModes"],
            "storageClassName": claim["spec"]["storageClassName"],
            "claimRef": {key: claim["metadata"][key] for key in ("name", "namespace", "uid")},
            "csi": {"driver": "csi.example.com", "volumeHandle": name},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
        },
    }


def _attachable(rng: random.Random, tag: str, nodes: Sequence[Object]) -> list[tuple[Resource, Object]]:
    """Disks that exist and are bound to claims: nodes attach few of them, some are for a zone, some for one pod only. And
    where storage for class ``counted`` is left."""
    found: list[tuple[Resource, Object]] = []
    for node in nodes:
        name = node["metadata"]["name"]
        driver: Object = {"name": DRIVER, "nodeID": name}
        if rng.random() < 0.7:
            driver["allocatable"] = {"count": rng.choice([0, 1, 2])}
        if rng.random() < 0.8:
            found.append((CSINODES, {"metadata": {"name": name}, "spec": {"drivers": [driver]}}))
        if rng.random() < 0.5:
            where = {"matchLabels": {HOSTNAME: name}}
            capacity = {"metadata": {"name": f"left-{name}", "namespace": "default"}, "storageClassName": "counted",
                        "nodeTopology": where, "capacity": rng.choice(["2Gi", "10Gi"])}  # fmt: skip
            found.append((CSISTORAGECAPACITIES, capacity))
    for number in range(DISKS):
        name = f"disk{number}-{tag}"
        modes = [rng.choice(["ReadWriteOnce", "ReadWriteOncePod", "ReadWriteMany"])]
        labels = {ZONE: rng.choice(["z1", "z2__z3"])} if rng.random() < 0.5 else {}
        shared: Object = {"accessModes": modes, "storageClassName": "attached"}
        volume = {"metadata": {"name": name, "labels": labels},
                  "spec": {**shared, "capacity": {"storage": "1Gi"}, "csi": {"driver": DRIVER, "volumeHandle": name},
                           "claimRef": {"namespace": "default", "name": name}}}  # fmt: skip
        claim = {"metadata": {"name": name, "namespace": "default",
                              "annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
                 "spec": {**shared, "volumeName": name, "resources": {"requests": {"storage": "1Gi"}}}}  # fmt: skip
        found += [(PERSISTENTVOLUMES, volume), (PERSISTENTVOLUMECLAIMS, claim)]
    return found


def resized(pod: Object) -> Object:
    """What a kubelet says of a pod that is being made larger: it has other amounts than are wanted."""
    if "resized" not in pod["metadata"]["labels"]:
        return {}
    statuses = [
        {"name": container["name"], "image": container["image"], "imageID": "", "ready": True, "restartCount": 0,
         "allocatedResources": {"cpu": "2200m", "memory": "700Mi"},
         "resources": {"requests": {"cpu": "1800m", "memory": "900Mi"}}}
        for container in pod["spec"]["containers"]
    ]  # fmt: skip
    kind = pod["metadata"]["labels"]["resized"]
    condition = {"type": "PodResizePending", "status": "True", "reason": kind}
    return {"containerStatuses": statuses, **({"conditions": [condition]} if kind != "none" else {})}


def _pod(
    rng: random.Random, name: str, nodes: Sequence[Object], claims: Sequence[str], device_claims: Sequence[Object]
) -> Object:
    app = rng.choice(APPS)
    spec: Object = {
        "containers": [_container(rng, "main", app)],
        "terminationGracePeriodSeconds": 0,
        "priority": rng.choice([0, 0, 0, 5, 10]),
    }
    if rng.random() < 0.2:
        spec["initContainers"] = [_container(rng, "init", "cache")]
        if rng.random() < 0.5:
            spec["initContainers"][0]["restartPolicy"] = "Always"
    if rng.random() < 0.3:
        spec["tolerations"] = [_toleration(rng) for _ in range(rng.randint(1, 2))]
    if rng.random() < 0.15:
        spec["nodeSelector"] = {ZONE: rng.choice(["z1", "z2", "z9"])}
    affinity = _affinity(rng, nodes)
    if affinity:
        spec["affinity"] = affinity
    if rng.random() < 0.3:
        spec["topologySpreadConstraints"] = _constraints(rng)
    if rng.random() < 0.2:
        spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": rng.choice(claims)}}]
    if rng.random() < 0.25:
        picked = rng.sample(device_claims, rng.choice([1, 1, 2]))
        spec["resourceClaims"] = [
            {"name": f"devices-{number}", "resourceClaimName": each["metadata"]["name"]}
            for number, each in enumerate(picked)
        ]
    if rng.random() < 0.05:
        spec["preemptionPolicy"] = "Never"
    if rng.random() < 0.1:
        spec["runtimeClassName"] = "heavy"
    if rng.random() < 0.1:
        spec["resources"] = {
            "requests": {"cpu": rng.choice(["4500m", "6"]), "memory": rng.choice(["7Gi", "12Gi"])},
            "limits": {"memory": "12Gi"},
        }
    spec["schedulerName"] = DEFAULT if rng.random() < 0.5 else rng.choice(PROFILES)["schedulerName"]
    namespace = "default" if {"volumes", "resourceClaims"} & set(spec) else rng.choice(["default", "default", "other"])
    metadata: Object = {"name": name, "namespace": namespace, "labels": {"app": app}}
    if rng.random() < 0.3:
        metadata["labels"]["tier"] = rng.choice(["front", "back"])
    if rng.random() < 0.15:
        metadata["labels"]["resized"] = rng.choice(["none", "Deferred", "Infeasible"])
    if rng.random() < 0.2:
        metadata["ownerReferences"] = [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "set", "uid": "u", "controller": True}
        ]
    return {"metadata": metadata, "spec": spec}


def _container(rng: random.Random, name: str, image: str) -> Object:
    requests: Object = {}
    if rng.random() < 0.8:
        requests["cpu"] = rng.choice(["100m", "500m", "1", "1500m", "3"])
    if rng.random() < 0.7:
        requests["memory"] = rng.choice(["64Mi", "500Mi", "1Gi", "3Gi"])
    if rng.random() < 0.1:
        requests["ephemeral-storage"] = rng.choice(["1Gi", "50Gi"])
    limits: Object = {}
    for resource, chance in (("example.com/gpu", 0.15), ("example.com/card", 0.03)):
        if rng.random() < chance:
            requests[resource] = limits[resource] = rng.choice(["1", "2"])
    if rng.random() < 0.04:
        requests["hugepages-2Mi"] = limits["hugepages-2Mi"] = rng.choice(["2Mi", "8Mi"])
        requests.setdefault("cpu", "100m")
    wanted = rng.choice([f"{image}:1", image, f"hub.example.com:5000/{image}"])
    container: Object = {"name": name, "image": wanted, "resources": {"requests": requests, "limits": limits}}
    if name == "main" and rng.random() < 0.15:
        port = {"containerPort": 80, "hostPort": rng.choice([8080, 9090]), "protocol": rng.choice(["TCP", "UDP"])}
        container["ports"] = [port | rng.choice([{}, {"hostIP": "127.0.0.1"}])]
    return container


def _toleration(rng: random.Random) -> Object:
    found: Object = {"operator": rng.choice(["Exists", "Equal"])}
    if found["operator"] == "Equal":
        found |= {"key": rng.choice(["a", "b"]), "value": rng.choice(["", "x"])}
    elif rng.random() < 0.7:
        found["key"] = rng.choice(["a", "b"])
    if rng.random() < 0.4:
        found["effect"] = rng.choice(["NoSchedule", "PreferNoSchedule", "NoExecute"])
    return found


def _affinity(rng: random.Random, nodes: Sequence[Object]) -> Object:
    affinity: Object = {}
    node_side: Object = {}
    if rng.random() < 0.15:
        node_side["requiredDuringSchedulingIgnoredDuringExecution"] = {
            "nodeSelectorTerms": [_node_term(rng, nodes) for _ in range(rng.randint(1, 2))]
        }
    if rng.random() < 0.2:
        node_side["preferredDuringSchedulingIgnoredDuringExecution"] = [
            {"weight": rng.randint(1, 100), "preference": _node_term(rng, nodes)} for _ in range(rng.randint(1, 3))
        ]
    if node_side:
        affinity["nodeAffinity"] = node_side
    for kind, chance in (("podAffinity", 0.15), ("podAntiAffinity", 0.15)):
        side: Object = {}
        if rng.random() < chance:
            side["requiredDuringSchedulingIgnoredDuringExecution"] = [_pod_term(rng) for _ in range(rng.randint(1, 2))]
        if rng.random() < chance:
            side["preferredDuringSchedulingIgnoredDuringExecution"] = [
                {"weight": rng.randint(1, 100), "podAffinityTerm": _pod_term(rng)} for _ in range(rng.randint(1, 2))
            ]
        if side:
            affinity[kind] = side
    return affinity


def _node_term(rng: random.Random, nodes: Sequence[Object]) -> Object:
    expressions: list[Object] = [
        {"key": ZONE, "operator": "In", "values": rng.sample(["z1", "z2", "z3"], 2)},
        {"key": ZONE, "operator": "NotIn", "values": ["z1"]},
        {"key": RACK, "operator": "Exists"},
        {"key": RACK, "operator": "DoesNotExist"},
        {"key": RACK, "operator": "Gt", "values": ["8"]},
        {"key": RACK, "operator": "Lt", "values": ["8"]},
    ]
    if rng.random() < 0.2:
        names = [rng.choice(nodes)["metadata"]["name"]]
        return {"matchFields": [{"key": "metadata.name", "operator": rng.choice(["In", "NotIn"]), "values": names}]}
    return {"matchExpressions": rng.sample(expressions, rng.randint(1, 2))}


def _selector(rng: random.Random) -> Object:
    return rng.choice(
        [
            {"matchLabels": {"app": rng.choice(APPS)}},
            {"matchExpressions": [{"key": "app", "operator": "In", "values": rng.sample(APPS, 2)}]},
            {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]},
            {},
        ]
    )


def _pod_term(rng: random.Random) -> Object:
    term: Object = {"topologyKey": rng.choice([ZONE, HOSTNAME, RACK]), "labelSelector": _selector(rng)}
    if rng.random() < 0.2:
        term["namespaces"] = rng.sample(["default", "other"], rng.randint(1, 2))
    elif rng.random() < 0.2:
        term["namespaceSelector"] = rng.choice([{}, {"matchLabels": {"team": "b"}}])
    if rng.random() < 0.2 and "tier" not in str(term["labelSelector"]):
        term[rng.choice(["matchLabelKeys", "mismatchLabelKeys"])] = ["tier"]
    return term


def _constraints(rng: random.Random) -> list[Object]:
    found = []
    for key in rng.sample([ZONE, HOSTNAME, RACK], rng.randint(1, 2)):
        entry: Object = {
            "maxSkew": rng.randint(1, 3),
            "topologyKey": key,
            "whenUnsatisfiable": rng.choice(["DoNotSchedule", "ScheduleAnyway"]),
            "labelSelector": _selector(rng),
        }
        if entry["whenUnsatisfiable"] == "DoNotSchedule" and rng.random() < 0.3:
            entry["minDomains"] = rng.randint(1, 4)
        for field, chance in (("nodeAffinityPolicy", 0.3), ("nodeTaintsPolicy", 0.3)):
            if rng.random() < chance:
                entry[field] = rng.choice(["Honor", "Ignore"])
        if rng.random() < 0.2 and "tier" not in str(entry["labelSelector"]):
            entry["matchLabelKeys"] = ["tier"]
        found.append(entry)
    return found


def _some(rng: random.Random, entries: Sequence[T], chance: float) -> list[T]:
    return [entry for entry in entries if rng.random() < chance]
