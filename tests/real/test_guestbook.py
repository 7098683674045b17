"""The guestbook on a real cluster: what a user does with it, from nothing to nothing, and what survives a massacre."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.real.conftest import ROOT, RealCluster, eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
NAMESPACE = "guestbook"
MANIFEST = ROOT / "examples/guestbook/guestbook.yaml"


def pod_links() -> set[str]:
    """The machine's ends of pods' interfaces, whosesoever they are."""
    return {path.name for path in Path("/sys/class/net").glob("veth*")}


@pytest.fixture(scope="module")
def links_before(cluster: RealCluster) -> set[str]:
    """What there is without the guestbook: other clusters and a killed test may have left some here."""
    return pod_links()


@pytest.fixture(scope="module")
def guestbook(cluster: RealCluster, links_before: set[str]) -> RealCluster:
    """The application, applied and answering."""
    cluster.kubectl("apply", "-f", str(MANIFEST))
    for tier in ("store", "backend", "frontend"):
        cluster.kubectl("rollout", "status", f"deployment/{tier}", "-n", NAMESPACE, "--timeout=90s", timeout_s=100)
    cluster.kubectl(
        "wait", "job/first-entry", "-n", NAMESPACE, "--for=condition=complete", "--timeout=90s", timeout_s=100
    )
    return cluster


def page(cluster: RealCluster, query: str = "") -> str:
    """The front page through its NodePort on the host, or the answer to a new entry."""
    node = cluster.get("nodes")["items"][0]
    address = next(entry["address"] for entry in node["status"]["addresses"] if entry["type"] == "InternalIP")
    url = f"http://{address}:30080/cgi-bin/page{'?' + query if query else ''}"
    with urllib.request.urlopen(url, timeout=10) as response:
        return str(response.read().decode())


def pods(cluster: RealCluster, tier: str) -> list[str]:
    listed = cluster.get("pods", "-n", NAMESPACE, "-l", f"tier={tier}")["items"]
    return [pod["metadata"]["name"] for pod in listed if not pod["metadata"].get("deletionTimestamp")]


def end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.communicate(timeout=10)


def test_it_answers_through_its_node_port(guestbook: RealCluster) -> None:
    text = page(guestbook)
    assert "Steersman's guestbook" in text
    assert "welcome-aboard" in text
    assert "noted" in page(guestbook, "ahoy-from-the-host")
    assert "ahoy-from-the-host" in page(guestbook)


def test_both_frontends_serve(guestbook: RealCluster) -> None:
    served = {match[1] for _ in range(30) if (match := re.search(r"served by (\S+)", page(guestbook)))}
    assert served == set(pods(guestbook, "frontend"))


def test_a_pod_reaches_the_backend_by_its_dns_names(guestbook: RealCluster) -> None:
    for name in ("backend", "backend.guestbook", "backend.guestbook.svc.cluster.local"):
        answer = guestbook.kubectl(
            "exec", "-n", NAMESPACE, "deploy/frontend", "--", "wget", "-q", "-O", "-", f"http://{name}/cgi-bin/entries"
        )
        assert "welcome-aboard" in answer
    looked_up = guestbook.kubectl(
        "exec", "-n", NAMESPACE, "deploy/frontend", "--", "nslookup", "store.guestbook.svc.cluster.local"
    )
    address = guestbook.get("pods", "-n", NAMESPACE, "-l", "tier=store")["items"][0]["status"]["podIP"]
    assert address in looked_up


def test_a_wrong_password_is_refused(guestbook: RealCluster) -> None:
    answer = guestbook.kubectl(
        "exec", "-n", NAMESPACE, "deploy/frontend", "--",
        "wget", "-q", "-O", "-", "--header", "x-password: guess", "http://backend/cgi-bin/entries?x",
    )  # fmt: skip
    assert "wrong password" in answer


def test_exec_carries_input_output_and_the_exit_code(guestbook: RealCluster) -> None:
    echoed = guestbook.kubectl("exec", "-i", "-n", NAMESPACE, "deploy/store", "--", "cat", stdin="over the wire\n")
    assert echoed == "over the wire\n"
    with pytest.raises(AssertionError, match="exit code 7"):
        guestbook.kubectl("exec", "-n", NAMESPACE, "deploy/store", "--", "sh", "-c", "exit 7")


def test_logs_are_followed(guestbook: RealCluster) -> None:
    name = pods(guestbook, "frontend")[0]
    following = guestbook.spawn_kubectl("logs", "-f", "-n", NAMESPACE, "-l", "tier=frontend", "--max-log-requests=10")
    try:
        for number in range(8):
            page(guestbook, f"follow-{number}")
        assert following.stdout is not None
        line = following.stdout.readline()
        assert line.startswith("page for ")
    finally:
        end(following)
    assert guestbook.kubectl("logs", "-n", NAMESPACE, name, "--tail=1").count("\n") == 1


def test_port_forward_reaches_a_pod(guestbook: RealCluster) -> None:
    forwarding = guestbook.spawn_kubectl("port-forward", "-n", NAMESPACE, "svc/backend", ":80")
    try:
        assert forwarding.stdout is not None
        match = re.search(r"127\.0\.0\.1:(\d+)", forwarding.stdout.readline())
        assert match is not None
        with urllib.request.urlopen(f"http://127.0.0.1:{match[1]}/cgi-bin/entries", timeout=10) as response:
            assert "welcome-aboard" in response.read().decode()
    finally:
        end(forwarding)


def test_scaling_and_rolling_out(guestbook: RealCluster) -> None:
    guestbook.kubectl("scale", "deployment/frontend", "-n", NAMESPACE, "--replicas=4")
    guestbook.kubectl("rollout", "status", "deployment/frontend", "-n", NAMESPACE, "--timeout=60s")
    before = set(pods(guestbook, "frontend"))
    assert len(before) == 4
    guestbook.kubectl("rollout", "restart", "deployment/frontend", "-n", NAMESPACE)
    guestbook.kubectl("rollout", "status", "deployment/frontend", "-n", NAMESPACE, "--timeout=90s", timeout_s=100)
    eventually(lambda: len(pods(guestbook, "frontend")) == 4)
    assert not before & set(pods(guestbook, "frontend"))
    assert "Steersman's guestbook" in page(guestbook)
    guestbook.kubectl("scale", "deployment/frontend", "-n", NAMESPACE, "--replicas=2")
    eventually(lambda: len(pods(guestbook, "frontend")) == 2)


def test_a_changed_config_map_reaches_the_page(guestbook: RealCluster) -> None:
    guestbook.kubectl(
        "patch", "configmap/frontend", "-n", NAMESPACE, "--type=merge", "-p", '{"data":{"title":"A new title"}}'
    )
    guestbook.kubectl("rollout", "restart", "deployment/frontend", "-n", NAMESPACE)
    guestbook.kubectl("rollout", "status", "deployment/frontend", "-n", NAMESPACE, "--timeout=90s", timeout_s=100)
    eventually(lambda: "A new title" in page(guestbook))


def test_killing_every_process_of_the_cluster_harms_no_container(guestbook: RealCluster) -> None:
    before = containers(guestbook)
    address = guestbook.get("service", "frontend", "-n", NAMESPACE)["spec"]["clusterIP"]
    uids = {item["metadata"]["uid"] for item in guestbook.get("pods,deployments,services", "-n", NAMESPACE)["items"]}
    victims = guestbook.processes()
    assert len(victims) >= 3
    for pid in victims:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    eventually(lambda: not guestbook.processes())
    with urllib.request.urlopen(f"http://{address}/cgi-bin/page", timeout=10) as response:
        assert response.status == 200

    guestbook.steersman("up")
    after = {item["metadata"]["uid"] for item in guestbook.get("pods,deployments,services", "-n", NAMESPACE)["items"]}
    assert after == uids
    guestbook.kubectl("rollout", "status", "deployment/frontend", "-n", NAMESPACE, "--timeout=60s")
    guestbook.kubectl("wait", "pod", "-n", NAMESPACE, "-l", "app=guestbook", "--for=condition=Ready", "--timeout=60s")
    assert containers(guestbook) == before
    assert "welcome-aboard" in page(guestbook)


def containers(cluster: RealCluster) -> dict[str, tuple[str, int]]:
    """Pod and container -> (container id, how often it was restarted)."""
    return {
        f"{pod['metadata']['name']}/{status['name']}": (status["containerID"], status["restartCount"])
        for pod in cluster.get("pods", "-n", NAMESPACE, "-l", "app=guestbook")["items"]
        for status in pod["status"]["containerStatuses"]
    }


def test_up_is_idempotent(guestbook: RealCluster) -> None:
    before = guestbook.processes()
    guestbook.steersman("up")
    assert guestbook.processes() == before


def test_status_and_logs_tell_how_it_is(guestbook: RealCluster) -> None:
    shown = guestbook.steersman("status")
    assert "1 of 1 Ready" in shown
    assert "apiserver" in shown
    assert "serving on" in guestbook.steersman("logs", "apiserver")
    assert "localhost/examples/busybox:1" in guestbook.steersman("image list")


def test_the_printed_kubeconfig_works_by_itself(guestbook: RealCluster, tmp_path: Path) -> None:
    file = tmp_path / "config"
    file.write_text(guestbook.steersman("kubeconfig"))
    shown = subprocess.run(
        ["kubectl", f"--kubeconfig={file}", "get", "nodes"], capture_output=True, text=True, check=True
    ).stdout
    assert " Ready " in shown


def rules() -> str:
    listed = ["nft", "list", "table", "ip", "steersman-proxy"]
    return subprocess.run(listed, capture_output=True, text=True, check=True).stdout


def test_deleting_the_namespace_leaves_nothing(guestbook: RealCluster, links_before: set[str]) -> None:
    assert pod_links() - links_before, "no pod of the guestbook has an interface"
    guestbook.kubectl("delete", "namespace", NAMESPACE, "--timeout=90s", timeout_s=100)
    assert guestbook.kubectl("get", "all", "-n", NAMESPACE, "-o", "name") == ""
    eventually(lambda: not pod_links() - links_before)
    eventually(lambda: "30080" not in rules())
