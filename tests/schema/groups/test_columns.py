"""What ``kubectl get`` shows: cells for objects, and columns that are documented where they say."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import msgspec
import pytest

from steersman.meta.times import format_time
from steersman.schema.groups import REGISTRY, SUBRESOURCE_KINDS
from steersman.schema.kind import Column, Kind

DEFINITIONS: dict[str, dict[str, Any]] = msgspec.msgpack.decode(
    (files("steersman.schema") / "_built" / "definitions.msgpack").read_bytes()
)
KINDS = [*REGISTRY, *SUBRESOURCE_KINDS]
NOW = 1_800_000_000.0


def ago(seconds: float) -> str:
    return format_time(NOW - seconds)


def row(name: str, obj: dict[str, Any]) -> dict[str, Any]:
    kind = next(kind for kind in KINDS if kind.resource.kind == name)
    return {column.name: column.cell(obj, NOW) for column in kind.columns}


def columns() -> list[Any]:
    return [
        pytest.param(kind, column, id=f"{kind.definition}-{column.name}") for kind in KINDS for column in kind.columns
    ]


@pytest.mark.parametrize(("kind", "column"), columns())
def test_cells_stand_an_empty_object(kind: Kind, column: Column) -> None:
    column.cell({}, NOW)


@pytest.mark.parametrize(("kind", "column"), columns())
def test_columns_are_documented(kind: Kind, column: Column) -> None:
    if not column.documented_by:
        assert column.description
        return
    definition, _, name = column.documented_by.partition("/")
    assert name in DEFINITIONS[definition]["properties"]


def container(name: str = "c", *, ready: bool = False, restarts: int = 0, **state: Any) -> dict[str, Any]:
    return {"name": name, "ready": ready, "restartCount": restarts, "state": state}


RUNNING: dict[str, Any] = {"running": {}}


def pod(
    *statuses: dict[str, Any], init: list[Any] | None = None, phase: str = "Running", **status: Any
) -> dict[str, Any]:
    return {
        "metadata": {"name": "p", "creationTimestamp": ago(90)},
        "spec": {"containers": [{"name": each["name"]} for each in statuses] or [{"name": "c"}]},
        "status": {"phase": phase, "containerStatuses": list(statuses), "initContainerStatuses": init or [], **status},
    }


def with_init(obj: dict[str, Any], *containers: dict[str, Any]) -> dict[str, Any]:
    return {**obj, "spec": {**obj["spec"], "initContainers": list(containers)}}


def deleting(obj: dict[str, Any]) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], "deletionTimestamp": ago(1)}}


DONE: dict[str, Any] = {"terminated": {"exitCode": 0, "reason": "Completed"}}
FAILED: dict[str, Any] = {"terminated": {"exitCode": 1, "reason": "Error"}}
READY_CONDITION = [{"type": "Ready", "status": "True"}]
SIDECAR = {"name": "s", "restartPolicy": "Always"}
PODS = [
    ("new", pod(phase="Pending"), "0/1", "Pending"),
    ("running", pod(container(ready=True, **RUNNING)), "1/1", "Running"),
    ("not ready", pod(container(**RUNNING)), "0/1", "Running"),
    ("creating", pod(container(waiting={"reason": "ContainerCreating"}), phase="Pending"), "0/1", "ContainerCreating"),
    ("crashing", pod(container(restarts=3, waiting={"reason": "CrashLoopBackOff"})), "0/1", "CrashLoopBackOff"),
    ("done", pod(container(**DONE), phase="Succeeded"), "0/1", "Completed"),
    ("failed", pod(container(**FAILED), phase="Failed"), "0/1", "Error"),
    ("exit code", pod(container(terminated={"exitCode": 3}), phase="Failed"), "0/1", "ExitCode:3"),
    ("signal", pod(container(terminated={"exitCode": 3, "signal": 9}), phase="Failed"), "0/1", "Signal:9"),
    (
        "one done, one running and ready",
        pod(container("a", **DONE), container("b", ready=True, **RUNNING), conditions=READY_CONDITION),
        "1/2",
        "Running",
    ),
    (
        "one done, one running",
        pod(container("a", **DONE), container("b", ready=True, **RUNNING)),
        "1/2",
        "NotReady",
    ),
    (
        "one done, one failed",
        pod(container("a", **DONE), container("b", **FAILED)),
        "0/2",
        "Error",
    ),
    ("evicted", pod(phase="Failed", reason="Evicted"), "0/1", "Evicted"),
    (
        "gated",
        pod(phase="Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]),
        "0/1",
        "SchedulingGated",
    ),
    ("deleting", deleting(pod(container(ready=True, **RUNNING))), "1/1", "Terminating"),
    ("deleting, done", deleting(pod(container(**DONE), phase="Succeeded")), "0/1", "Completed"),
    ("deleting, node lost", deleting(pod(reason="NodeLost")), "0/1", "Unknown"),
    (
        "first init container",
        with_init(pod(init=[container("i", **RUNNING), container("j")], phase="Pending"), {"name": "i"}, {"name": "j"}),
        "0/1",
        "Init:0/2",
    ),
    (
        "second init container",
        with_init(pod(init=[container("i", **DONE), container("j")], phase="Pending"), {"name": "i"}, {"name": "j"}),
        "0/1",
        "Init:1/2",
    ),
    (
        "init container crashing",
        with_init(pod(init=[container("i", waiting={"reason": "CrashLoopBackOff"})], phase="Pending"), {"name": "i"}),
        "0/1",
        "Init:CrashLoopBackOff",
    ),
    (
        "init failed",
        with_init(pod(init=[container("i", **FAILED)], phase="Pending"), {"name": "i"}),
        "0/1",
        "Init:Error",
    ),
    (
        "sidecar",
        with_init(
            pod(container(ready=True, **RUNNING), init=[{**container("s", ready=True, **RUNNING), "started": True}]),
            SIDECAR,
        ),
        "2/2",
        "Running",
    ),
    (
        "sidecar starting",
        with_init(pod(init=[container("s", **RUNNING)], phase="Pending"), SIDECAR),
        "0/2",
        "Init:0/1",
    ),
]


@pytest.mark.parametrize(("obj", "ready", "status"), [case[1:] for case in PODS], ids=[case[0] for case in PODS])
def test_pod_status_in_a_word(obj: dict[str, Any], ready: str, status: str) -> None:
    shown = row("Pod", obj)
    assert (shown["Ready"], shown["Status"]) == (ready, status)


def test_pod_restarts_tell_when() -> None:
    ended = {"terminated": {"finishedAt": ago(300)}}
    obj = pod({**container(ready=True, restarts=3, **RUNNING), "lastState": ended})
    assert row("Pod", obj)["Restarts"] == "3 (5m ago)"
    assert row("Pod", pod(container(restarts=3)))["Restarts"] == "3"


def test_wide_pod_columns() -> None:
    obj = pod(container(ready=True, **RUNNING), podIPs=[{"ip": "10.0.0.1"}], conditions=READY_CONDITION)
    obj["spec"] |= {"nodeName": "n", "readinessGates": [{"conditionType": "Ready"}, {"conditionType": "X"}]}
    shown = row("Pod", obj)
    assert (shown["IP"], shown["Node"], shown["Nominated Node"], shown["Readiness Gates"]) == (
        "10.0.0.1",
        "n",
        "<none>",
        "1/2",
    )


CELLS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    (
        "Node",
        {
            "metadata": {"labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "edge"}},
            "spec": {"unschedulable": True},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "addresses": [{"type": "InternalIP", "address": "1.2.3.4"}],
                "nodeInfo": {"kernelVersion": "6.1", "architecture": "amd64"},
            },
        },
        {
            "Status": "Ready,SchedulingDisabled",
            "Roles": "control-plane,edge",
            "Internal-IP": "1.2.3.4",
            "External-IP": "<none>",
            "Kernel-Version": "6.1 (amd64)",
            "OS-Image": "<unknown>",
        },
    ),
    ("Node", {}, {"Status": "Unknown", "Roles": "<none>", "Age": "<unknown>"}),
    (
        "Service",
        {
            "spec": {
                "type": "NodePort",
                "clusterIPs": ["10.0.0.1"],
                "ports": [{"port": 80, "nodePort": 30000, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}],
                "selector": {"b": "1", "a": "2"},
            }
        },
        {"Cluster-IP": "10.0.0.1", "External-IP": "<none>", "Port(s)": "80:30000/TCP,53/UDP", "Selector": "a=2,b=1"},
    ),
    ("Service", {"spec": {"type": "LoadBalancer"}}, {"External-IP": "<pending>", "Port(s)": "<none>"}),
    (
        "Endpoints",
        {"subsets": [{"addresses": [{"ip": f"10.0.0.{n}"} for n in range(5)], "ports": [{"port": 80}]}]},
        {"Endpoints": "10.0.0.0:80,10.0.0.1:80,10.0.0.2:80 + 2 more..."},
    ),
    ("Endpoints", {}, {"Endpoints": "<none>"}),
    ("EndpointSlice", {}, {"Ports": "<unset>", "Endpoints": "<unset>"}),
    (
        "Deployment",
        {"spec": {"replicas": 3, "selector": {"matchLabels": {"a": "b"}}}, "status": {"readyReplicas": 2}},
        {"Ready": "2/3", "Up-to-date": 0, "Selector": "a=b"},
    ),
    (
        "Job",
        {
            "spec": {"completions": 3},
            "status": {"succeeded": 1, "startTime": ago(70), "conditions": [{"type": "Failed", "status": "True"}]},
        },
        {"Status": "Failed", "Completions": "1/3", "Duration": "70s"},
    ),
    ("Job", {"spec": {"parallelism": 3}}, {"Status": "Running", "Completions": "0/1 of 3", "Duration": ""}),
    (
        "ResourceQuota",
        {"status": {"hard": {"pods": "10", "limits.cpu": "4"}, "used": {"pods": "1"}}},
        {"Request": "pods: 1/10", "Limit": "limits.cpu: 0/4"},
    ),
    (
        "PersistentVolumeClaim",
        {
            "spec": {"volumeName": "v", "storageClassName": "fast"},
            "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteMany", "ReadWriteOnce"]},
        },
        {"Status": "Bound", "Capacity": "1Gi", "Access Modes": "RWO,RWX", "StorageClass": "fast"},
    ),
    (
        "StorageClass",
        {"metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}},
        {"Name": "fast (default)", "AllowVolumeExpansion": False},
    ),
    (
        "ControllerRevision",
        {"metadata": {"ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "controller": True}]}},
        {"Controller": "daemonset.apps/d", "Revision": 0},
    ),
    (
        "HorizontalPodAutoscaler",
        {
            "apiVersion": "autoscaling/v1",
            "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "targetCPUUtilizationPercentage": 50},
            "status": {"currentCPUUtilizationPercentage": 20},
        },
        {"Reference": "Deployment/d", "Targets": "cpu: 20%/50%", "MinPods": "<unset>"},
    ),
    (
        "Event",
        {
            "involvedObject": {"kind": "Pod", "name": "p"},
            "source": {"component": "kubelet", "host": "n"},
            "lastTimestamp": ago(10),
            "message": " text ",
        },
        {"Last Seen": "10s", "Object": "pod/p", "Source": "kubelet, n", "Message": "text", "Count": 1},
    ),
    (
        "RoleBinding",
        {
            "roleRef": {"kind": "Role", "name": "r"},
            "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "namespace": "n", "name": "s"}],
        },
        {"Role": "Role/r", "Users": "u", "Groups": "", "ServiceAccounts": "n/s"},
    ),
    ("APIService", {}, {"Service": "Local", "Available": "Unknown"}),
    (
        "CertificateSigningRequest",
        {"status": {"conditions": [{"type": "Approved"}], "certificate": "x"}, "spec": {"expirationSeconds": 3600}},
        {"Condition": "Approved,Issued", "RequestedDuration": "60m"},
    ),
    ("Ingress", {"spec": {"tls": [{}], "rules": [{"host": "a"}, {}]}}, {"Hosts": "a", "Ports": "80, 443", "Class": "<none>"}),
    ("ResourceClaim", {"status": {"allocation": {"x": 1}, "reservedFor": [1]}}, {"State": "allocated,reserved"}),
    ("PodDisruptionBudget", {"spec": {"minAvailable": "50%"}}, {"Min Available": "50%", "Max Unavailable": "N/A"}),
]  # fmt: skip


@pytest.mark.parametrize(("name", "obj", "cells"), CELLS, ids=[case[0] for case in CELLS])
def test_cells(name: str, obj: dict[str, Any], cells: dict[str, Any]) -> None:
    shown = row(name, obj)
    assert {column: shown[column] for column in cells} == cells
