"""``kubectl create``, ``run`` and ``expose``: newer ones send protobuf."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from steersman.aio.clock import SystemClock
from steersman.cluster.pki import ClusterPKI
from tests.clients.kubectl import Kubectl, eventually
from tests.clients.manifests import container, deployment

CREATED: dict[str, tuple[Sequence[str], str, object]] = {
    "deployment": (["deployment", "a", "--image=registry.example/a:1", "--replicas=2"], "{.spec.replicas}", "2"),
    "job": (["job", "a", "--image=registry.example/a:1", "--", "true"], "{.spec.template.spec.containers[0].command[0]}", "true"),
    "configmap": (["configmap", "a", "--from-literal=k=v"], "{.data.k}", "v"),
    "secret generic": (["secret", "generic", "a", "--from-literal=k=v"], "{.data.k}", "dg=="),
    "secret docker-registry": (
        ["secret", "docker-registry", "a", "--docker-server=x", "--docker-username=u", "--docker-password=p"],
        "{.type}",
        "kubernetes.io/dockerconfigjson",
    ),
    "serviceaccount": (["serviceaccount", "a"], "{.metadata.name}", "a"),
    "role": (["role", "a", "--verb=get,list", "--resource=pods,deployments.apps"], "{.rules[1].apiGroups[0]}", "apps"),
    "rolebinding": (["rolebinding", "a", "--role=a", "--serviceaccount=x:y"], "{.subjects[0].namespace}", "x"),
    "quota": (["quota", "a", "--hard=pods=5,cpu=1"], "{.spec.hard.pods}", "5"),
    "ingress": (["ingress", "a", "--rule=a.example/x=b:80"], "{.spec.rules[0].host}", "a.example"),
    "service clusterip": (["service", "clusterip", "a", "--tcp=80:8080"], "{.spec.ports[0].targetPort}", "8080"),
    "service nodeport": (["service", "nodeport", "a", "--tcp=80"], "{.spec.type}", "NodePort"),
    "service externalname": (["service", "externalname", "a", "--external-name=b.example"], "{.spec.externalName}", "b.example"),
    "service loadbalancer": (["service", "loadbalancer", "a", "--tcp=80"], "{.spec.type}", "LoadBalancer"),
    "cronjob": (["cronjob", "a", "--image=registry.example/a:1", "--schedule=*/5 * * * *"], "{.spec.schedule}", "*/5 * * * *"),
    "poddisruptionbudget": (["poddisruptionbudget", "a", "--selector=app=a", "--min-available=1"], "{.spec.minAvailable}", "1"),
}  # fmt: skip
SINCE = {"cronjob": 21, "poddisruptionbudget": 21}
"""Older ones ask for beta versions that upstream does not serve any more either."""

CLUSTER_SCOPED: dict[str, tuple[Sequence[str], str, str]] = {
    "namespace": ([], "{.status.phase}", "Active"),
    "clusterrole": (["--verb=get", "--resource=nodes"], "{.rules[0].verbs[0]}", "get"),
    "clusterrolebinding": (["--clusterrole=view", "--user=x"], "{.roleRef.name}", "view"),
    "priorityclass": (["--value=10"], "{.value}", "10"),
}


@pytest.mark.parametrize("what", sorted(CREATED))
def test_create(kubectl: Kubectl, what: str) -> None:
    words, path, expected = CREATED[what]
    if kubectl.minor < SINCE.get(what, 0):
        error = kubectl.fails("create", *words)
        assert "could not find the requested resource" in error or "no matches for kind" in error
        return
    if words[0] == "rolebinding":
        kubectl("create", "role", "a", "--verb=get", "--resource=pods")
    assert kubectl("create", *words).endswith("/a created\n")
    assert kubectl("get", words[0], "a", "-o", f"jsonpath={path}") == expected


@pytest.mark.parametrize("kind", sorted(CLUSTER_SCOPED))
def test_create_in_the_cluster(kubectl: Kubectl, kind: str) -> None:
    words, path, expected = CLUSTER_SCOPED[kind]
    name = f"{kubectl.namespace}-{kind}"
    try:
        assert kubectl("create", kind, name, *words).endswith(f"/{name} created\n")
        assert kubectl("get", kind, name, "-o", f"jsonpath={path}") == expected
    finally:
        kubectl("delete", kind, name)


def test_create_a_tls_secret(kubectl: Kubectl, tmp_path: Path) -> None:
    pair = ClusterPKI(tmp_path, clock=SystemClock()).ensure_client("a", "a")
    kubectl("create", "secret", "tls", "a", f"--cert={pair.certificate}", f"--key={pair.key}")
    data = kubectl.get("secret", "a")["data"]
    assert base64.b64decode(data["tls.crt"]) == pair.certificate.read_bytes()


def test_create_a_job_from_a_cronjob(kubectl: Kubectl) -> None:
    template = {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container()]}}}}
    spec = {"schedule": "0 0 1 1 *", "jobTemplate": template}
    kubectl(
        "create",
        "-f",
        "-",
        stdin={"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "often"}, "spec": spec},
    )
    if kubectl.minor < 21:
        error = kubectl.fails("create", "job", "now", "--from=cronjob/often")
        assert 'no kind "CronJob" is registered for version "batch/v1" in scheme "k8s.io/kubectl' in error
        return
    kubectl("create", "job", "now", "--from=cronjob/often")
    [owner] = kubectl.get("job", "now")["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("CronJob", "often")


def test_create_a_token(kubectl: Kubectl) -> None:
    kubectl("create", "serviceaccount", "robot")
    if kubectl.minor < 24:
        assert 'unknown command "token robot"' in kubectl.fails("create", "token", "robot")
        return
    token = kubectl("create", "token", "robot", "--duration=20m").strip()
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    assert claims["sub"] == f"system:serviceaccount:{kubectl.namespace}:robot"
    assert claims["exp"] - claims["iat"] == 1200


def test_files_become_configuration(kubectl: Kubectl, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text")
    (tmp_path / "bytes").write_bytes(b"\xff\x00")
    kubectl("create", "configmap", "files", f"--from-file={tmp_path}")
    found = kubectl.get("configmap", "files")
    assert (found["data"], found["binaryData"]) == ({"text": "text"}, {"bytes": "/wA="})


def test_run(kubectl: Kubectl) -> None:
    kubectl(
        "run",
        "one",
        "--image=registry.example/a:1",
        "--labels=a=b",
        "--env=K=v",
        "--port=80",
        "--restart=Never",
        "--",
        "x",
    )
    kubectl("wait", "pod/one", "--for=condition=Ready", "--timeout=30s")
    found = kubectl.get("pod", "one")
    assert found["spec"]["restartPolicy"] == "Never"
    assert found["spec"]["containers"][0]["args"] == ["x"]
    assert found["metadata"]["labels"] == {"a": "b"}


def test_expose(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=deployment(ports=[{"containerPort": 8080}]))
    kubectl("expose", "deployment", "web", "--port=80", "--target-port=8080", "--type=NodePort", "--name=out")
    spec = kubectl.get("service", "out")["spec"]
    assert (spec["selector"], spec["type"]) == ({"app": "web"}, "NodePort")
    assert 30000 <= spec["ports"][0]["nodePort"] <= 32767
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    eventually(
        lambda: kubectl("get", "endpoints", "out", "-o", "jsonpath={.subsets[*].addresses[*].ip}").count(".") == 6
    )


def test_objects_of_the_command_line_survive_a_round_trip(kubectl: Kubectl) -> None:
    """What was sent in protobuf reads as what was sent in JSON."""
    words = ("create", "deployment", "web", "--image=registry.example/a:1", "--replicas=2", "--port=80")
    written = json.loads(kubectl(*words, "--dry-run=client", "-o", "json"))
    kubectl(*words)
    sent = kubectl.get("deployment", "web")["spec"]
    kubectl("delete", "deployment", "web")
    kubectl("create", "-f", "-", stdin=written)
    assert kubectl.get("deployment", "web")["spec"] == sent
