"""What administrators do: nodes, certificates, permissions."""

from __future__ import annotations

import base64
import re

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from tests.clients.conftest import ServedCluster
from tests.clients.kubectl import Kubectl, eventually
from tests.clients.manifests import Manifest, deployment, pod

NODE = "simulated-0"


def test_cordon_and_taint(admin: Kubectl) -> None:
    assert admin("cordon", NODE) == f"node/{NODE} cordoned\n"
    assert "Ready,SchedulingDisabled" in admin("get", "node", NODE)
    assert admin("uncordon", NODE) == f"node/{NODE} uncordoned\n"
    assert admin("taint", "node", NODE, "a=b:NoSchedule") == f"node/{NODE} tainted\n"
    assert admin.get("node", NODE)["spec"]["taints"] == [{"effect": "NoSchedule", "key": "a", "value": "b"}]
    assert "already has a taint" in admin.fails("taint", "node", NODE, "a=c:NoSchedule")
    assert admin("taint", "node", NODE, "a-") == f"node/{NODE} untainted\n"


def test_drain_moves_pods_away(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=deployment(replicas=4))
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    try:
        assert "evicted" in kubectl("drain", NODE, "--ignore-daemonsets", "--pod-selector=app=web", "--timeout=60s")
        eventually(lambda: len(kubectl.get("pods")["items"]) == 4)
        assert {item["spec"].get("nodeName") for item in kubectl.get("pods")["items"]} == {"simulated-1"}
    finally:
        kubectl("uncordon", NODE)


def test_drain_respects_disruption_budgets(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=deployment(replicas=2))
    budget = {"minAvailable": 2, "selector": {"matchLabels": {"app": "web"}}}
    manifest = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"}, "spec": budget}
    kubectl("apply", "-f", "-", stdin=manifest)
    kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    eventually(lambda: kubectl.get("pdb", "web").get("status", {}).get("currentHealthy") == 2)
    node = kubectl.get("pods")["items"][0]["spec"]["nodeName"]
    try:
        error = kubectl.fails("drain", node, "--ignore-daemonsets", "--pod-selector=app=web", "--timeout=1s")
        assert "Cannot evict pod as it would violate the pod's disruption budget." in error
        assert len(kubectl.get("pods")["items"]) == 2
    finally:
        kubectl("uncordon", node)


def certificate_request(name: str) -> Manifest:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    spec = {
        "request": base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode(),
        "signerName": "kubernetes.io/kube-apiserver-client",
        "usages": ["client auth"],
    }
    kind = "CertificateSigningRequest"
    return {"apiVersion": "certificates.k8s.io/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


@pytest.mark.parametrize(("verb", "condition"), [("approve", "Approved"), ("deny", "Denied")])
def test_certificate_requests(admin: Kubectl, verb: str, condition: str) -> None:
    admin("apply", "-f", "-", stdin=certificate_request("bob"))
    try:
        assert "Pending" in admin("get", "csr", "bob")
        assert admin("certificate", verb, "bob").startswith("certificatesigningrequest.certificates.k8s.io/bob ")
        found = admin.get("csr", "bob")
        assert [entry["type"] for entry in found["status"]["conditions"]] == [condition]
        assert found["spec"]["username"] == "kubernetes-admin"
        assert condition in admin("get", "csr", "bob")
        assert "Requesting User:    kubernetes-admin" in admin("describe", "csr", "bob")
    finally:
        admin("delete", "csr", "bob")


def test_who_can_do_what(kubectl: Kubectl, served: ServedCluster) -> None:
    nobody = replace(kubectl, kubeconfig=served.kubeconfig("nobody"))
    assert kubectl("auth", "can-i", "delete", "pods") == "yes\n"
    assert nobody.run("auth", "can-i", "get", "pods").out == "no\n"
    text = 'Error from server (Forbidden): pods is forbidden: User "nobody" cannot list resource "pods" in API group "" in the namespace'
    assert nobody.fails("get", "pods") == f'{text} "{kubectl.namespace}"'
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods")
    kubectl("create", "rolebinding", "nobody", "--role=reader", "--user=nobody")
    assert eventually(lambda: nobody.run("auth", "can-i", "get", "pods").code == 0)
    assert nobody("get", "pods", "-o", "name") == ""
    assert kubectl("auth", "can-i", "list", "pods", "--as=nobody") == "yes\n"
    assert "pods" in nobody("auth", "can-i", "--list")
    error = nobody.fails("create", "rolebinding", "mine", "--clusterrole=cluster-admin", "--user=nobody")
    assert 'cannot create resource "rolebindings"' in error
    if kubectl.minor >= 27:
        assert "nobodies" in nobody("auth", "whoami")


def test_roles_are_reconciled(kubectl: Kubectl) -> None:
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "reader", "namespace": kubectl.namespace},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    }
    assert "reconciled" in kubectl("auth", "reconcile", "-f", "-", stdin=role)
    assert kubectl.get("role", "reader")["rules"] == role["rules"]


def test_metrics_are_not_there(admin: Kubectl) -> None:
    assert admin.fails("top", "nodes") == "error: Metrics API not available"


def test_pods_have_no_metrics_either(kubectl: Kubectl) -> None:
    assert kubectl.fails("top", "pods") == "error: Metrics API not available"


def test_debugging(kubectl: Kubectl) -> None:
    """An ephemeral container in the pod, a changed copy of the pod, and a pod on a node."""
    kubectl("apply", "-f", "-", stdin=pod())
    kubectl("wait", "pod/one", "--for=condition=Ready", "--timeout=30s")
    if kubectl.minor < 23:  # it sends the kind that the subresource had before v1.22
        error = kubectl.fails("alpha", "debug", "one", "--image=debug.example/a:1")
        assert 'no kind "EphemeralContainers" is registered for version "v1"' in error
        return
    image = ("--image=debug.example/a:1", "--attach=false")
    kubectl("debug", "one", *image, "--container=debugger", "--target=main", "--", "sleep", "1")
    [debugger] = kubectl.get("pod", "one")["spec"]["ephemeralContainers"]
    assert (debugger["name"], debugger["targetContainerName"], debugger["command"]) == (
        "debugger",
        "main",
        ["sleep", "1"],
    )
    error = kubectl.fails("debug", "one", *image, "--container=main")
    assert "spec.ephemeralContainers[1].name: Duplicate value" in error or "already exists" in error
    kubectl("debug", "one", *image, "--copy-to=copy", "--set-image=main=other.example/a:2", "--container=more")
    assert [found["image"] for found in kubectl.get("pod", "copy")["spec"]["containers"]] == [
        "other.example/a:2",
        "debug.example/a:1",
    ]
    shown = kubectl("debug", "node/simulated-1", *image, "--profile=sysadmin")
    [name] = re.findall(r"node-debugger-simulated-1-\w+", shown)
    spec = kubectl.get("pod", name)["spec"]
    assert (spec["nodeName"], spec["hostNetwork"], spec["hostPID"]) == ("simulated-1", True, True)
    assert spec["containers"][0]["securityContext"]["privileged"]
