"""Costs of schema work on a typical pod: CPU microseconds an operation, unless the name says milliseconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from steersman.meta.patches import json_patch, merge_patch
from steersman.schema.groups import REGISTRY
from steersman.schema.managedfields.operations import apply, reset_fields, update
from steersman.schema.managedfields.typed import type_of
from steersman.schema.openapi import OpenAPI
from steersman.schema.registry import Registry
from steersman.schema.strategic import strategic_merge
from steersman.schema.structural import compiled

POD_DEFINITION = "io.k8s.api.core.v1.Pod"


def pod() -> dict[str, Any]:
    """A pod as an API server stores it: one container, a probe, a token volume, tolerations, status."""
    started = "2026-01-02T03:04:05Z"
    field = {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-7d4b9c", "uid": "6f1e", "controller": True}
    container = {
        "name": "web", "image": "nginx:1.25", "command": ["nginx", "-g"], "imagePullPolicy": "IfNotPresent",
        "ports": [{"containerPort": 80, "protocol": "TCP"}],
        "env": [{"name": "A", "value": "1"}, {"name": "B", "valueFrom": field}],
        "resources": {"limits": {"cpu": "500m", "memory": "128Mi"}, "requests": {"cpu": "250m", "memory": "64Mi"}},
        "volumeMounts": [{"name": "token", "readOnly": True, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}],
        "livenessProbe": {
            "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}, "initialDelaySeconds": 3, "timeoutSeconds": 1,
            "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3,
        },
        "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
    }  # fmt: skip
    sources = [
        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", **field}]}},
    ]
    tolerations = [
        {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in ("not-ready", "unreachable")
    ]
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web-7d4b9c-x2x", "generateName": "web-7d4b9c-", "namespace": "default", "uid": "0f1c",
            "creationTimestamp": started, "labels": {"app": "web", "pod-template-hash": "7d4b9c"},
            "ownerReferences": [owner],
        },
        "spec": {
            "containers": [container], "tolerations": tolerations, "restartPolicy": "Always", "nodeName": "n1",
            "volumes": [{"name": "token", "projected": {"sources": sources, "defaultMode": 420}}],
            "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst", "serviceAccountName": "default",
            "securityContext": {}, "schedulerName": "default-scheduler", "priority": 0, "enableServiceLinks": True,
        },
        "status": {
            "phase": "Running", "podIP": "10.1.0.1", "podIPs": [{"ip": "10.1.0.1"}], "startTime": started,
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": started}],
            "containerStatuses": [{
                "name": "web", "state": {"running": {"startedAt": started}}, "ready": True, "restartCount": 0,
                "image": "nginx:1.25", "imageID": "sha256:1", "started": True,
            }],
        },
    }  # fmt: skip


def _us(operation: Callable[[], object], *, rounds: int = 2000) -> float:
    operation()
    start = time.process_time()
    for _ in range(rounds):
        operation()
    return (time.process_time() - start) / rounds * 1e6


def _once_ms(operation: Callable[[], object]) -> float:
    start = time.process_time()
    operation()
    return (time.process_time() - start) * 1e3


def _managed_fields(obj: dict[str, Any]) -> dict[str, float]:
    structure = type_of(POD_DEFINITION)
    main, status = (reset_fields(has_status=True, subresource=path) for path in ("", "status"))
    live = update(None, obj, manager="m", api_version="v1", now=0, structure=structure, ignored=main)
    new = {**live, "status": {**live["status"], "phase": "Failed"}}
    config = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": live["spec"]}
    applied = apply(live, config, manager="a", api_version="v1", now=0, structure=structure, ignored=main)
    return {
        "managedfields/create_pod_of_known_shape/us": _us(
            lambda: update(None, obj, manager="m", api_version="v1", now=0, structure=structure, ignored=main)
        ),
        "managedfields/update_status/us": _us(
            lambda: update(
                live,
                new,
                manager="k",
                api_version="v1",
                subresource="status",
                now=0,
                structure=structure,
                ignored=status,
            )
        ),
        "managedfields/apply_pod_again/us": _us(
            lambda: apply(applied, config, manager="a", api_version="v1", now=0, structure=structure, ignored=main),
            rounds=300,
        ),
    }


def run() -> dict[str, float]:
    """Case -> number."""
    obj = pod()
    dirty = {**obj, "unknown": 1}
    results = {"structure/pod/first_ms": _once_ms(lambda: compiled(POD_DEFINITION).decode(obj))}
    structure = compiled(POD_DEFINITION)
    results["structure/pod/us"] = _us(lambda: structure.decode(obj))
    results["structure/pod_with_unknown_fields/us"] = _us(lambda: structure.decode(dirty, []))
    status = {"status": {"phase": "Failed", "conditions": [{"type": "Ready", "status": "False"}]}}
    labels = [{"op": "replace", "path": "/metadata/labels/app", "value": "other"}]
    results["patch/strategic/us"] = _us(lambda: strategic_merge(obj, status, POD_DEFINITION))
    results["patch/merge/us"] = _us(lambda: merge_patch(obj, status))
    results["patch/json/us"] = _us(lambda: json_patch(obj, labels))
    results.update(_managed_fields(obj))
    documents = OpenAPI(Registry(REGISTRY))
    results["openapi/v3_index/ms"] = _once_ms(lambda: documents.v3_index)
    core = documents.v3("api/v1")
    assert core is not None
    results["openapi/v3_core_protobuf/ms"] = _once_ms(lambda: core.protobuf)
    results["openapi/v2/ms"] = _once_ms(lambda: documents.v2)
    results["openapi/v2_protobuf/ms"] = _once_ms(lambda: documents.v2_protobuf)
    return results


if __name__ == "__main__":
    for case, number in run().items():
        print(f"{case:45} {number:10.2f}")
