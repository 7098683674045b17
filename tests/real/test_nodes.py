"""Several real nodes on one machine: pods of all of them are one flat network, and nodes come and go."""

from __future__ import annotations

import json
import urllib.request

import pytest

from tests.real.conftest import RealCluster, eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]
IMAGE = "localhost/examples/web:1"

WEB = {
    "apiVersion": "apps/v1",
    "kind": "DaemonSet",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "terminationGracePeriodSeconds": 1,
                "containers": [
                    {
                        "name": "web",
                        "image": IMAGE,
                        "ports": [{"containerPort": 8080, "hostPort": 18080}],
                        "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
                    }
                ],
            },
        },
    },
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "type": "NodePort",
        "selector": {"app": "web"},
        "ports": [{"port": 80, "targetPort": 8080, "nodePort": 30081}],
    },
}


@pytest.fixture(scope="module")
def web(two_nodes: RealCluster) -> RealCluster:
    for obj in (WEB, SERVICE):
        two_nodes.kubectl("apply", "-f", "-", stdin=json.dumps(obj))
    eventually(lambda: len(ready_pods(two_nodes)) == 2)
    return two_nodes


def ready_pods(cluster: RealCluster) -> dict[str, tuple[str, str]]:
    """Node -> (name, address) of its ready pod."""
    found = {}
    for pod in cluster.get("pods", "-l", "app=web")["items"]:
        conditions = {entry["type"]: entry["status"] for entry in pod["status"].get("conditions") or ()}
        if conditions.get("Ready") == "True" and not pod["metadata"].get("deletionTimestamp"):
            found[pod["spec"]["nodeName"]] = (pod["metadata"]["name"], pod["status"]["podIP"])
    return found


def addresses(cluster: RealCluster) -> dict[str, str]:
    return {
        node["metadata"]["name"]: next(
            entry["address"] for entry in node["status"]["addresses"] if entry["type"] == "InternalIP"
        )
        for node in cluster.get("nodes")["items"]
        if node["metadata"].get("labels", {}).get("type") != "simulated"
    }


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=5) as response:
        return str(response.read().decode())


def from_pod(cluster: RealCluster, pod: str, url: str) -> str:
    return who(cluster.kubectl("exec", pod, "--", "wget", "-q", "-O", "-", url))


def who(greeting: str) -> str:
    """The pod that says hello."""
    return greeting.strip().removeprefix("Hello from ")


def test_each_node_has_its_own_range(web: RealCluster) -> None:
    ranges = {node["spec"]["podCIDR"] for node in web.get("nodes")["items"]}
    assert len(ranges) == 2


def test_pods_reach_each_other_across_nodes(web: RealCluster) -> None:
    (name_a, address_a), (name_b, address_b) = ready_pods(web).values()
    assert from_pod(web, name_a, f"http://{address_b}:8080/cgi-bin/hello") == name_b
    assert from_pod(web, name_b, f"http://{address_a}:8080/cgi-bin/hello") == name_a


def test_a_service_reaches_pods_of_all_nodes_from_any(web: RealCluster) -> None:
    pods = {name for name, _ in ready_pods(web).values()}
    for name in pods:
        answers = {from_pod(web, name, "http://web/cgi-bin/hello") for _ in range(20)}
        assert answers == pods


def test_node_ports_and_host_ports_answer_on_every_node(web: RealCluster) -> None:
    pods = ready_pods(web)
    everyone = {name for name, _ in pods.values()}
    for node, address in addresses(web).items():
        assert {who(fetch(f"http://{address}:30081/cgi-bin/hello")) for _ in range(20)} == everyone
        assert who(fetch(f"http://{address}:18080/cgi-bin/hello")) == pods[node][0]


def test_the_machine_reaches_pods_through_the_api_server(web: RealCluster) -> None:
    for name, _ in ready_pods(web).values():
        path = f"/api/v1/namespaces/default/pods/{name}:8080/proxy/cgi-bin/hello"
        assert who(web.kubectl("get", "--raw", path)) == name
        assert web.kubectl("logs", name, "--tail=1") is not None
    proxied = who(web.kubectl("get", "--raw", "/api/v1/namespaces/default/services/web:80/proxy/cgi-bin/hello"))
    assert proxied in {name for name, _ in ready_pods(web).values()}


def test_a_third_node_joins_and_leaves_again(web: RealCluster) -> None:
    web.steersman("nodes add")
    web.steersman("image load", str(web.images / "web.tar"), "--node=node-3")
    eventually(lambda: len(ready_pods(web)) == 3)
    assert "node-3" in addresses(web)
    web.steersman("nodes remove", "node-3")
    eventually(lambda: "node-3" not in addresses(web))
    eventually(lambda: len(ready_pods(web)) == 2)


def test_simulated_nodes_are_marked_and_kept_free(web: RealCluster) -> None:
    web.steersman("nodes add", "--simulated=3")
    simulated = web.get("nodes", "-l", "type=simulated")["items"]
    assert len(simulated) == 3
    for node in simulated:
        assert any(taint["effect"] == "NoSchedule" for taint in node["spec"]["taints"])
    assert len(ready_pods(web)) == 2
    assert "5 of 5 Ready" in web.steersman("status")
