"""What kubectl shows: every output format, descriptions, watches, discovery and documentation."""

from __future__ import annotations

import json
import re
import urllib.request

import pytest

from tests.clients.kubectl import Kubectl, eventually
from tests.clients.manifests import config_map, deployment, pod, service, together


@pytest.fixture
def web(kubectl: Kubectl) -> Kubectl:
    """With a Deployment of two pods that runs, and its Service."""
    kubectl("apply", "-f", "-", stdin=together(deployment(), service()))
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    return kubectl


def table(text: str) -> list[list[str]]:
    """The cells of a printed table; columns are parted by two spaces or more."""
    return [re.split(r"\s{2,}", line.strip()) for line in text.strip().splitlines()]


def test_tables_have_upstreams_columns(web: Kubectl) -> None:
    heads = {
        "pods": ["NAME", "READY", "STATUS", "RESTARTS", "AGE"],
        "deployments": ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"],
        "replicasets": ["NAME", "DESIRED", "CURRENT", "READY", "AGE"],
        "services": ["NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"],
        "endpoints": ["NAME", "ENDPOINTS", "AGE"],
        "nodes": ["NAME", "STATUS", "ROLES", "AGE", "VERSION"],
        "events": ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"],
        "serviceaccounts": ["NAME", "AGE"],
        "namespaces": ["NAME", "STATUS", "AGE"],
    }
    for resource, head in heads.items():
        assert [cell for cell in table(web("get", resource))[0] if cell != "SECRETS"] == head, resource
    assert table(web("get", "deployment", "web"))[1][:4] == ["web", "2/2", "2", "2"]
    assert table(web("get", "pods", "-o", "wide"))[0][5:] == ["IP", "NODE", "NOMINATED NODE", "READINESS GATES"]
    assert table(web("get", "deployments", "-o", "wide"))[1][5:] == ["main", "registry.example/app:1", "app=web"]


def test_machine_readable_formats(web: Kubectl) -> None:
    name = web.get("pods")["items"][0]["metadata"]["name"]
    assert f"pod/{name}" in web("get", "pods", "-o", "name").split()
    assert web("get", "deployment/web", "-o", "jsonpath={.status.readyReplicas}") == "2"
    assert web("get", "deployment/web", "-o", "go-template={{.spec.replicas}}") == "2"
    columns = "custom-columns=NAME:.metadata.name,PHASE:.status.phase"
    assert [name, "Running"] in table(web("get", "pods", "-o", columns))
    assert "\nkind: Deployment\n" in web("get", "deployment", "web", "-o", "yaml")
    assert {item["kind"] for item in web.get("pods,services,deployments")["items"]} == {"Pod", "Service", "Deployment"}


def test_selection_and_order(web: Kubectl) -> None:
    web("run", "other", "--image=registry.example/other:1")
    assert len(table(web("get", "pods", "--no-headers"))) == 3
    assert len(table(web("get", "pods", "-l", "app in (web)", "--no-headers"))) == 2
    assert len(table(web("get", "pods", "-l", "app!=web", "--no-headers"))) == 1
    web("wait", "pod", "--all", "--for=condition=Ready", "--timeout=30s")
    assert len(table(web("get", "pods", "--field-selector=status.phase=Running", "--no-headers"))) == 3
    assert "No resources found" in web.run("get", "pods", "--field-selector=status.phase=Failed").err
    names = web("get", "pods", "--sort-by=.metadata.name", "-o", "name").split()
    assert names == sorted(names)
    assert table(web("get", "pods", "-L", "app"))[0][-1] == "APP"
    assert "app=web,pod-template-hash=" in web("get", "pods", "--show-labels")
    assert len(table(web("get", "pods", "--chunk-size=1", "--no-headers"))) == 3
    assert web.namespace in web("get", "pods", "--all-namespaces")


def test_what_is_not_there(kubectl: Kubectl) -> None:
    assert kubectl.fails("get", "pod", "nope") == 'Error from server (NotFound): pods "nope" not found'
    assert kubectl.fails("get", "nopes") == 'error: the server doesn\'t have a resource type "nopes"'
    assert kubectl("get", "pod", "nope", "--ignore-not-found") == ""


def test_watching(kubectl: Kubectl) -> None:
    watching = kubectl.spawn("get", "configmaps", "--watch-only", "-o", "jsonpath={.metadata.name}/{.data.key} ")
    assert watching.stdout is not None and watching.stderr is not None
    try:
        count = 0

        def create() -> bool:
            nonlocal count
            count += 1
            kubectl("create", "configmap", f"c{count}", "--from-literal=key=1")
            return watching.poll() is None

        create()
        eventually(create)
        kubectl("patch", "configmap", "c1", "-p", '{"data": {"key": "2"}}')
        kubectl("delete", "configmap", "c1")
        seen = ""
        while "c1/2 c1/2" not in seen:
            letter = watching.stdout.read(1)
            assert letter, watching.stderr.read()
            seen += letter
    finally:
        watching.kill()
        watching.communicate()


def test_waiting(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=deployment())
    assert "condition met" in kubectl("wait", "deployment/web", "--for=condition=Available", "--timeout=30s")
    assert "timed out" in kubectl.fails("wait", "deployment/web", "--for=condition=Never", "--timeout=1s")
    if kubectl.minor >= 23:
        gone = kubectl.spawn("wait", "deployment/web", "--for=delete", "--timeout=30s")
        kubectl("delete", "deployment", "web")
        assert gone.wait(30) == 0
        gone.communicate()
        kubectl("apply", "-f", "-", stdin=pod())
        kubectl("wait", "pod/one", "--for=jsonpath={.status.phase}=Running", "--timeout=30s")


def test_descriptions(web: Kubectl) -> None:
    web("create", "job", "once", "--image=registry.example/job:1")
    name = web.get("pods", "-l", "app=web")["items"][0]["metadata"]["name"]
    eventually(lambda: "Started" in web("describe", "pod", name))
    shown = web("describe", "pod", name)
    for text in ("Status:         ", "Controlled By:  ReplicaSet/web-", "Image:          registry.example/app:1"):
        assert text.replace(" ", "") in shown.replace(" ", "")
    assert re.search(r"Normal\s+Scheduled\s+\S+\s+default-scheduler\s+Successfully assigned ", shown)
    shown = web("describe", "deployment", "web")
    assert re.search(r"Replicas:\s+2 desired \| 2 updated \| 2 total \| 2 available \| 0 unavailable", shown)
    assert re.search(r"ScalingReplicaSet .* Scaled up replica set web-\w+ from 0 to 2", shown)
    shown = web("describe", "service", "web")
    assert len(re.findall(r"10\.\d+\.\d+\.\d+:80", re.findall(r"Endpoints:.*", shown)[0])) == 2
    shown = web("describe", "node", "simulated-0")
    assert "KubeletReady" in shown and "HolderIdentity:  simulated-0" in shown
    shown = web("describe", "job", "once")
    assert re.search(r"Parallelism:\s+1\nCompletions:\s+1\n", shown)
    slices = ("endpointslices",) if web.minor >= 21 else ()
    for resource in ("namespace/default", "serviceaccount/default", "replicaset", "endpoints", *slices):
        assert web("describe", resource).startswith("Name:"), resource


def test_events(web: Kubectl) -> None:
    if web.minor >= 26:
        assert "Successfully assigned" in web("events", "--types=Normal")
        assert "Deployment/web" in web("events", "--for=deployment/web")
    shown = web("get", "events", "--sort-by=.lastTimestamp")
    assert "Successfully assigned" in shown
    assert web(
        "get", "events", "--field-selector=involvedObject.kind=Deployment,reason=ScalingReplicaSet", "-o", "name"
    )


def test_discovery(kubectl: Kubectl) -> None:
    resources = kubectl("api-resources", "--no-headers")
    assert re.search(r"^pods\s+po\s+v1\s+true\s+Pod$", resources, re.MULTILINE)
    assert re.search(r"^deployments\s+deploy\s+apps/v1\s+true\s+Deployment$", resources, re.MULTILINE)
    assert re.search(r"^clusterroles\s+rbac\.authorization\.k8s\.io/v1\s+false\s", resources, re.MULTILINE)
    assert "customresourcedefinitions" in resources
    namespaced = kubectl("api-resources", "--namespaced=false", "-o", "name").split()
    assert "nodes" in namespaced and "pods" not in namespaced
    versions = kubectl("api-versions").split()
    assert {"v1", "apps/v1", "batch/v1", "autoscaling/v1", "autoscaling/v2", "rbac.authorization.k8s.io/v1"} <= {
        *versions
    }
    assert kubectl(
        "get", "po,deploy,svc,cm,sa,ns,no,pvc,ds,sts,rs,cj,hpa,ing,netpol,pdb,quota,limits,ep,crd", "-o", "name"
    )


def test_explanations(kubectl: Kubectl) -> None:
    shown = kubectl("explain", "pod.spec")
    assert re.search(r"KIND:\s+Pod\nVERSION:\s+v1\n", shown)
    assert re.search(r"containers\t<\[\](Container|Object)> -required-", shown)
    shown = kubectl("explain", "deployment.spec.strategy", "--recursive")
    assert "rollingUpdate" in shown and "maxSurge" in shown and "maxUnavailable" in shown
    assert 'field "nope" does not exist' in kubectl.fails("explain", "pod.nope")
    for kind in ("ingress", "cronjob.spec.jobTemplate", "hpa.spec", "crd.spec.versions", "clusterrole.rules"):
        assert "DESCRIPTION:" in kubectl("explain", kind), kind


def test_explanations_list_the_values_of_a_field(kubectl: Kubectl) -> None:
    if kubectl.minor < 27:
        pytest.skip("explains from OpenAPI v2, which shows no values")
    shown = kubectl("explain", "pod.spec.restartPolicy")
    assert "FIELD: restartPolicy <string>\nENUM:\n    Always\n    Never\n    OnFailure\n" in shown
    assert 'Possible enum values:\n     - `"Always"`\n     - `"Never"`\n     - `"OnFailure"`' in shown
    assert "enum: ClusterFirst, ClusterFirstWithHostNet, Default, None" in kubectl(
        "explain", "deployment.spec.template.spec"
    )
    assert "enum: SIGABRT, SIGALRM, SIGBUS, SIGCHLD, ...." in kubectl("explain", "pod.spec.containers.lifecycle")


def test_validation_by_the_documents_leaves_values_to_the_server(kubectl: Kubectl) -> None:
    kubectl("apply", "--validate=true", "-f", "-", stdin=pod("always", restartPolicy="Always"))
    said = kubectl.fails("apply", "--validate=true", "-f", "-", stdin=pod("sometimes", restartPolicy="Sometimes"))
    assert (
        'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"' in said
    )


def test_version_and_cluster(kubectl: Kubectl) -> None:
    server = json.loads(kubectl("version", "-o", "json"))["serverVersion"]
    assert (server["major"], server["minor"], server["gitVersion"]) == ("1", "36", "v1.36.0")
    assert "is running at" in kubectl("cluster-info")
    assert kubectl("get", "--raw", "/healthz") == "ok"
    assert "[+]etcd ok" in kubectl("get", "--raw", "/readyz?verbose")
    dump = kubectl("cluster-info", "dump")
    assert '"kind": "NodeList"' in dump and '"kind": "EventList"' in dump


def test_logs_and_exec_of_a_node_that_cannot_be_reached(web: Kubectl) -> None:
    """Simulated nodes have no server: upstream's words when a node has no address of a preferred type."""
    text = "no preferred addresses found; known addresses: [{InternalIP "
    assert text in web.fails("logs", "deployment/web")
    assert text in web.fails("exec", "deployment/web", "--", "ls")


def test_the_proxy_passes_requests_on(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=config_map())
    proxy = kubectl.spawn("proxy", "--port=0")
    assert proxy.stdout is not None
    try:
        port = proxy.stdout.readline().strip().rpartition(":")[2]
        url = f"http://127.0.0.1:{port}/api/v1/namespaces/{kubectl.namespace}/configmaps/settings"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, timeout=10) as answer:
            assert json.loads(answer.read())["data"] == {"key": "value"}
    finally:
        proxy.kill()
        proxy.communicate()
