"""Sets of objects that kubectl keeps together (pruning, apply sets, kustomizations), and parts of objects (subresources)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.clients.kubectl import Kubectl, eventually
from tests.clients.manifests import Manifest, config_map, deployment, pod, together


def member(name: str, **labels: str) -> Manifest:
    found = config_map(name)
    found["metadata"]["labels"] = labels or {"set": "ours"}
    return found


def members(kubectl: Kubectl) -> list[str]:
    return [item["metadata"]["name"] for item in kubectl.get("configmaps", "-l", "set=ours")["items"]]


def test_pruning_by_label(kubectl: Kubectl) -> None:
    only = "--prune-allowlist" if kubectl.minor >= 26 else "--prune-whitelist"
    apply = ("apply", "-f", "-", "--prune", "-l", "set=ours", f"{only}=core/v1/ConfigMap")
    kubectl(*apply, stdin=together(member("a"), member("b")))
    kubectl("create", "configmap", "strange")
    kubectl("label", "configmap", "strange", "set=ours")
    assert "configmap/b pruned" in kubectl(*apply, stdin=member("a"))
    assert members(kubectl) == ["a", "strange"]


def test_apply_sets(kubectl: Kubectl) -> None:
    if kubectl.minor < 27:
        pytest.skip("this kubectl knows no apply sets")
    setting = replace(kubectl, environment={"KUBECTL_APPLYSET": "true"})
    apply = ("apply", "-f", "-", "--prune", "--applyset=secret/ours")
    assert "configmap/b created" in setting(*apply, stdin=together(member("a"), member("b")))
    parent = kubectl.get("secret", "ours")["metadata"]
    assert parent["annotations"]["applyset.kubernetes.io/contains-group-kinds"] == "ConfigMap"
    identity = parent["labels"]["applyset.kubernetes.io/id"]
    assert kubectl.get("configmap", "a")["metadata"]["labels"]["applyset.kubernetes.io/part-of"] == identity
    assert "configmap/b pruned" in setting(*apply, stdin=member("a"))
    assert members(kubectl) == ["a"]
    shown = setting(*apply, "--dry-run=server", stdin=member("c"))
    assert "configmap/a pruned (server dry run)" in shown
    assert members(kubectl) == ["a"]


def test_kustomizations(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [map.json]\nnamePrefix: our-\nconfigMapGenerator: [{name: made, literals: [a=b]}]\n"
    )
    (tmp_path / "map.json").write_text(json.dumps(config_map()))
    shown = kubectl("apply", "-k", str(tmp_path))
    assert "configmap/our-settings created" in shown
    [made] = re.findall(r"configmap/(our-made-\w+) created", shown)
    assert kubectl.get("configmap", made)["data"] == {"a": "b"}
    assert kubectl.run("diff", "-k", str(tmp_path)).code == 0
    kubectl("delete", "-k", str(tmp_path))
    assert "NotFound" in kubectl.fails("get", "configmap", made)


def test_subresources(kubectl: Kubectl) -> None:
    if kubectl.minor < 24:
        pytest.skip("this kubectl knows no --subresource")
    kubectl("apply", "-f", "-", stdin=deployment())
    head, line = kubectl("get", "deployment", "web", "--subresource=scale").splitlines()
    assert head.split() == ["NAME", "DESIRED", "AVAILABLE", "AGE"]
    assert line.split()[:2] == ["web", "2"]
    status = ("--subresource=status", "--type=merge")
    condition = [{"type": "Ours", "status": "True"}]
    kubectl("apply", "-f", "-", stdin=pod(schedulingGates=[{"name": "example.com/wait"}]))
    kubectl("patch", "pod", "one", *status, "-p", json.dumps({"status": {"conditions": condition}}))
    kubectl("wait", "pod/one", "--for=condition=Ours", "--timeout=10s")
    kubectl("patch", "pod", "one", *status, "-p", '{"spec": {"activeDeadlineSeconds": 5}}')
    assert "activeDeadlineSeconds" not in kubectl.get("pod", "one")["spec"]
    if kubectl.minor >= 32:
        kubectl("scale", "deployment/web", "--replicas=0")
        patch = {"spec": {"containers": [{"name": "main", "resources": {"requests": {"cpu": "1"}}}]}}
        error = kubectl.fails("patch", "pod", "one", "--subresource=resize", "-p", json.dumps(patch))
        assert "Pod QOS Class may not change as a result of resizing" in error


def test_watches_tell_what_happens(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "a")
    watching = kubectl.spawn("get", "configmap", "a", "--watch", "--output-watch-events", "--request-timeout=20s")
    assert watching.stdout is not None
    try:
        assert watching.stdout.readline().split() == ["EVENT", "NAME", "DATA", "AGE"]
        assert watching.stdout.readline().split()[:3] == ["ADDED", "a", "0"]
        kubectl("patch", "configmap", "a", "-p", '{"data": {"key": "2"}}')
        assert watching.stdout.readline().split()[:3] == ["MODIFIED", "a", "1"]
        kubectl("delete", "configmap", "a")
        assert watching.stdout.readline().split()[:3] == ["DELETED", "a", "1"]
    finally:
        watching.kill()
        watching.communicate()


def test_waiting_for_what_is_not_there_yet(kubectl: Kubectl) -> None:
    if kubectl.minor < 31:
        pytest.skip("this kubectl does not wait for creations")
    waiting = kubectl.spawn("wait", "configmap/late", "--for=create", "--timeout=30s")
    kubectl("create", "configmap", "late")
    out, _ = waiting.communicate(timeout=30)
    assert out == "configmap/late condition met\n"


def test_validation_of_fields_refuses_warns_or_looks_away(kubectl: Kubectl) -> None:
    if kubectl.minor < 25:
        pytest.skip("this kubectl validates by itself")
    unknown = {**config_map(), "nonsense": 1}
    error = kubectl.fails("create", "-f", "-", stdin=unknown)
    assert 'strict decoding error: unknown field "nonsense"' in error
    warned = kubectl.run("create", "--validate=warn", "-f", "-", stdin=unknown)
    assert (warned.code, warned.err) == (0, 'Warning: unknown field "nonsense"\n')
    silent = kubectl.run("replace", "--validate=ignore", "-f", "-", stdin=unknown)
    assert (silent.code, silent.err) == (0, "")


def test_deprecated_kinds_are_said_to_be(kubectl: Kubectl) -> None:
    text = "Warning: v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice\n"
    done = kubectl.run("get", "endpoints")
    assert text in done.err
    assert "Healthy" in kubectl("get", "componentstatuses")


def test_deleting_in_the_foreground_waits_for_dependents(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=deployment())
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    if kubectl.minor < 20:
        pytest.skip("this kubectl knows no --cascade=foreground")
    kubectl("delete", "deployment", "web", "--cascade=foreground", "--wait=false")
    eventually(lambda: kubectl.get("deployments,replicasets,pods")["items"] == [])
