"""What kubectl changes: apply, patches, labels, replace, deletion with its cascades, rollouts, scale."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from tests.clients.kubectl import Kubectl, eventually
from tests.clients.manifests import Manifest, config_map, deployment, pod, service, together


def names(kubectl: Kubectl, *words: str) -> list[str]:
    return sorted(item["metadata"]["name"] for item in kubectl.get(*words)["items"])


@pytest.fixture
def web(kubectl: Kubectl) -> Kubectl:
    """With a Deployment of two pods that runs."""
    kubectl("apply", "-f", "-", stdin=deployment())
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    return kubectl


# -- apply


def test_apply_creates_then_leaves_unchanged_then_configures(kubectl: Kubectl) -> None:
    manifests = together(deployment(), service(), config_map())
    out = kubectl("apply", "-f", "-", stdin=manifests)
    assert out.split("\n")[:3] == ["deployment.apps/web created", "service/web created", "configmap/settings created"]
    out = kubectl("apply", "-f", "-", stdin=manifests)
    assert out.count(" unchanged") == 3
    out = kubectl("apply", "-f", "-", stdin=together(deployment(replicas=3), service(port=81), config_map(key="new")))
    assert out.count(" configured") == 3
    assert kubectl("get", "service", "web", "-o", "jsonpath={.spec.ports[*].port}") == "81"


def test_apply_removes_what_is_no_longer_there(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=config_map(a="1", b="2"))
    kubectl("patch", "configmap", "settings", "--type=merge", "-p", '{"data": {"theirs": "3"}}')
    kubectl("apply", "-f", "-", stdin=config_map(a="1"))
    assert kubectl.get("configmap", "settings")["data"] == {"a": "1", "theirs": "3"}
    assert '"a": "1"' in kubectl("apply", "view-last-applied", "configmap/settings", "-o", "json")


def test_dry_runs_change_nothing(kubectl: Kubectl) -> None:
    manifest = config_map()
    assert "created (server dry run)" in kubectl("apply", "--dry-run=server", "-f", "-", stdin=manifest)
    assert "created (dry run)" in kubectl("apply", "--dry-run=client", "-f", "-", stdin=manifest)
    assert "settings" not in names(kubectl, "configmaps")


def test_differences_are_shown(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=deployment())
    assert kubectl.run("diff", "-f", "-", stdin=deployment()).code == 0
    done = kubectl.run("diff", "-f", "-", stdin=deployment(replicas=5))
    assert done.code == 1
    assert "-  replicas: 2\n+  replicas: 5\n" in done.out


def test_server_side_apply(kubectl: Kubectl) -> None:
    server_side = ("apply", "--server-side", "-f", "-")
    assert "serverside-applied" in kubectl(*server_side, stdin=deployment())
    assert "serverside-applied" in kubectl(*server_side, "--field-manager=other", stdin=deployment())
    error = kubectl.fails(*server_side, "--field-manager=other", stdin=deployment(replicas=3))
    assert 'Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas' in error
    kubectl(*server_side, "--field-manager=other", "--force-conflicts", stdin=deployment(replicas=3))
    error = kubectl.fails(*server_side, stdin=deployment())
    assert 'conflict with "other": .spec.replicas' in error
    assert kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "3"


# -- patches, labels, replace


def test_patches(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=deployment())
    kubectl(
        "patch", "deployment", "web", "--type=json", "-p", '[{"op": "replace", "path": "/spec/replicas", "value": 1}]'
    )
    kubectl(
        "patch", "deployment", "web", "--type=merge", "-p", '{"metadata": {"labels": {"tier": "front", "app": null}}}'
    )
    environment = {"name": "main", "env": [{"name": "A", "value": "b"}]}
    strategic = {"spec": {"template": {"spec": {"containers": [environment]}}}}
    kubectl("patch", "deployment", "web", "--type=strategic", "-p", json.dumps(strategic))
    found = kubectl.get("deployment", "web")
    assert (found["spec"]["replicas"], found["metadata"]["labels"]) == (1, {"tier": "front"})
    [container] = found["spec"]["template"]["spec"]["containers"]
    assert (container["image"], container["env"]) == ("registry.example/app:1", [{"name": "A", "value": "b"}])
    out = kubectl("patch", "deployment", "web", "--type=merge", "-p", '{"spec": {"replicas": 1}}')
    assert out == "deployment.apps/web patched (no change)\n"


def test_refused_patches(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=deployment())
    error = kubectl.fails("patch", "deployment", "web", "--type=json", "-p", '[{"op": "remove", "path": "/spec/nope"}]')
    assert error.startswith("The request is invalid")
    error = kubectl.fails("patch", "deployment", "web", "-p", '{"spec": {"replicas": -1}}')
    assert error == (
        'The Deployment "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0'
    )
    error = kubectl.fails("patch", "deployment", "web", "-p", '{"spec": {"selector": {"matchLabels": {"app": "x"}}}}')
    assert "field is immutable" in error


def test_labels_and_annotations(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=config_map())
    assert kubectl("label", "configmap", "settings", "a=b") == "configmap/settings labeled\n"
    assert "--overwrite is false" in kubectl.fails("label", "configmap", "settings", "a=c")
    kubectl("label", "configmap", "settings", "a=c", "--overwrite")
    kubectl("annotate", "configmap", "settings", "note=hello")
    metadata = kubectl.get("configmap", "settings")["metadata"]
    assert (metadata["labels"], metadata["annotations"]["note"]) == ({"a": "c"}, "hello")
    kubectl("label", "configmap", "settings", "a-")
    kubectl("annotate", "configmap", "settings", "note-")
    metadata = kubectl.get("configmap", "settings")["metadata"]
    assert "labels" not in metadata and "note" not in metadata["annotations"]
    assert "must be no more than 63" in kubectl.fails("label", "configmap", "settings", f"a={'x' * 64}")


def test_replace(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=config_map())
    assert "AlreadyExists" in kubectl.fails("create", "-f", "-", stdin=config_map())
    stale = kubectl.get("configmap", "settings")
    assert kubectl("replace", "-f", "-", stdin=config_map(key="new")) == "configmap/settings replaced\n"
    error = kubectl.fails("replace", "-f", "-", stdin=stale)
    assert "Error from server (Conflict)" in error and "the object has been modified" in error
    uid = kubectl.get("configmap", "settings")["metadata"]["uid"]
    kubectl("replace", "--force", "-f", "-", stdin=config_map())
    assert kubectl.get("configmap", "settings")["metadata"]["uid"] != uid
    assert "NotFound" in kubectl.fails("replace", "-f", "-", stdin=config_map("absent"))


def test_edit(kubectl: Kubectl) -> None:
    """The editor is a program that changes the file."""
    kubectl("apply", "-f", "-", stdin=config_map())
    editor = kubectl.home / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/key: value/key: edited/" "$1"\n')
    editor.chmod(0o700)
    argv = ["env", f"KUBE_EDITOR={editor}", *kubectl.argv("edit", "configmap", "settings")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=kubectl.env, timeout=30)
    assert done.stdout == "configmap/settings edited\n", done.stderr
    assert kubectl.get("configmap", "settings")["data"] == {"key": "edited"}


def test_set(web: Kubectl) -> None:
    web("set", "image", "deployment/web", "main=registry.example/app:2")
    web("set", "env", "deployment/web", "MODE=fast")
    web("set", "resources", "deployment/web", "--limits=cpu=100m,memory=64Mi", "--requests=cpu=50m")
    web("create", "serviceaccount", "worker")
    web("set", "serviceaccount", "deployment", "web", "worker")
    web("apply", "-f", "-", stdin=service())
    web("set", "selector", "service", "web", "app=other")
    spec = web.get("deployment", "web")["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == "worker"
    assert spec["containers"][0]["image"] == "registry.example/app:2"
    assert spec["containers"][0]["env"] == [{"name": "MODE", "value": "fast"}]
    assert spec["containers"][0]["resources"] == {
        "limits": {"cpu": "100m", "memory": "64Mi"},
        "requests": {"cpu": "50m"},
    }
    assert web.get("service", "web")["spec"]["selector"] == {"app": "other"}
    web("rollout", "status", "deployment/web", "--timeout=30s")


# -- rollouts and scale


def test_rollouts(web: Kubectl) -> None:
    web("set", "image", "deployment/web", "main=registry.example/app:2")
    web("annotate", "deployment/web", "kubernetes.io/change-cause=second")
    assert 'deployment "web" successfully rolled out' in web("rollout", "status", "deployment/web", "--timeout=30s")
    history = web("rollout", "history", "deployment/web")
    assert [line.split()[0] for line in history.splitlines()[2:4]] == ["1", "2"]
    assert re.search(r"Image:\s+registry.example/app:2", web("rollout", "history", "deployment/web", "--revision=2"))
    assert web("rollout", "undo", "deployment/web") == "deployment.apps/web rolled back\n"
    assert "app:1" in web("get", "deployment", "web", "-o", "jsonpath={..image}")
    web("rollout", "undo", "deployment/web", "--to-revision=2")
    assert "app:2" in web("get", "deployment", "web", "-o", "jsonpath={..image}")
    web("rollout", "status", "deployment/web", "--timeout=30s")


def test_a_paused_rollout_waits(web: Kubectl) -> None:
    web("rollout", "pause", "deployment/web")
    web("set", "image", "deployment/web", "main=registry.example/app:2")
    paused = "jsonpath={.status.conditions[?(@.type=='Progressing')].reason}"
    eventually(lambda: web("get", "deployment", "web", "-o", paused) == "DeploymentPaused")
    assert len(names(web, "replicasets")) == 1
    web("rollout", "resume", "deployment/web")
    web("rollout", "status", "deployment/web", "--timeout=30s")
    assert len(names(web, "replicasets")) == 2


def test_a_restart_replaces_all_pods(web: Kubectl) -> None:
    before = {*names(web, "pods")}
    assert web("rollout", "restart", "deployment/web") == "deployment.apps/web restarted\n"
    web("rollout", "status", "deployment/web", "--timeout=30s")
    eventually(lambda: len(names(web, "pods")) == 2)
    assert not before & {*names(web, "pods")}


def test_scale(web: Kubectl) -> None:
    assert web("scale", "deployment/web", "--replicas=3") == "deployment.apps/web scaled\n"
    eventually(lambda: len(names(web, "pods")) == 3)
    assert web.fails("scale", "deployment/web", "--replicas=1", "--current-replicas=7") == (
        "error: Expected replicas to be 7, was 3"
    )
    web("scale", "deployment/web", "--replicas=0")
    eventually(lambda: names(web, "pods") == [])


def test_autoscale(web: Kubectl) -> None:
    web("autoscale", "deployment/web", "--min=1", "--max=5", "--cpu-percent=80")
    assert re.search(r"^web\s+Deployment/web\s+cpu: <unknown>/80%\s+1\s+5\s", web("get", "hpa", "--no-headers"))
    assert web.get("horizontalpodautoscalers.v2.autoscaling", "web")["spec"]["metrics"][0]["resource"]["name"] == "cpu"
    old = web.get("horizontalpodautoscalers.v1.autoscaling", "web")["spec"]
    assert old["targetCPUUtilizationPercentage"] == 80


# -- deletion


def test_cascades(web: Kubectl) -> None:
    orphan, background = (
        ("--cascade=false", "--cascade=true") if web.minor < 20 else ("--cascade=orphan", "--cascade=background")
    )
    web("delete", "deployment", "web", orphan)
    [replica_set] = names(web, "replicasets")
    assert "ownerReferences" not in web.get("replicaset", replica_set)["metadata"]
    web("delete", "replicaset", replica_set, background)
    eventually(lambda: names(web, "pods") == [])
    web("apply", "-f", "-", stdin=deployment())
    web("rollout", "status", "deployment/web", "--timeout=30s")
    if web.minor >= 20:
        web("delete", "deployment", "web", "--cascade=foreground")
        assert names(web, "replicasets,pods") == []


def test_grace_periods(kubectl: Kubectl) -> None:
    stubborn: Manifest = pod("stubborn")
    stubborn["metadata"]["finalizers"] = ["example.com/wait"]
    for words in (["--grace-period=1"], ["--now"], ["--grace-period=0", "--force"]):
        kubectl("apply", "-f", "-", stdin=pod())
        kubectl("wait", "pod/one", "--for=condition=Ready", "--timeout=30s")
        kubectl("delete", "pod", "one", *words)
        assert names(kubectl, "pods") == []
    kubectl("apply", "-f", "-", stdin=stubborn)
    kubectl("delete", "pod", "stubborn", "--wait=false")
    assert "deletionTimestamp" in kubectl.get("pod", "stubborn")["metadata"]
    kubectl("patch", "pod", "stubborn", "--type=json", "-p", '[{"op": "remove", "path": "/metadata/finalizers"}]')
    eventually(lambda: names(kubectl, "pods") == [])


def test_deleting_many(kubectl: Kubectl) -> None:
    for name in ("a", "b", "c"):
        kubectl("create", "configmap", name)
    kubectl("label", "configmap", "a", "b", "keep=no")
    assert kubectl("delete", "configmaps", "-l", "keep=no") == 'configmap "a" deleted\nconfigmap "b" deleted\n'
    kubectl("delete", "configmaps", "--all")
    assert kubectl.fails("delete", "configmap", "c") == 'Error from server (NotFound): configmaps "c" not found'
    kubectl("delete", "configmap", "c", "--ignore-not-found")


def test_a_namespace_goes_with_all_that_is_in_it(admin: Kubectl) -> None:
    admin("create", "namespace", "doomed")
    doomed = admin.within("doomed")
    doomed("apply", "-f", "-", stdin=together(deployment(), service(), config_map()))
    doomed("delete", "namespace", "doomed", "--timeout=60s")
    assert "NotFound" in doomed.fails("get", "namespace", "doomed")
    error = doomed.fails("create", "configmap", "late")
    assert error.endswith('Error from server (NotFound): namespaces "doomed" not found') or "not found" in error


def test_invalid_manifests_are_refused_with_field_paths(kubectl: Kubectl) -> None:
    error = kubectl.fails("create", "--validate=false", "-f", "-", stdin=pod(containers=[{"name": "Main"}]))
    assert error.startswith('The Pod "one" is invalid: ')
    assert "* spec.containers[0].image: Required value" in error
    assert '* spec.containers[0].name: Invalid value: "Main": a lowercase RFC 1123 label' in error
    unknown = deployment()
    unknown["spec"]["nonsense"] = 1
    error = kubectl.fails("create", "-f", "-", stdin=unknown)
    assert "nonsense" in error
    unknown["kind"] = "Nonsense"
    assert 'no matches for kind "Nonsense" in version "apps/v1"' in kubectl.fails("create", "-f", "-", stdin=unknown)
