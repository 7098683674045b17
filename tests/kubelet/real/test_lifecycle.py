"""What becomes of real containers: last words, restarts by rule, hooks, gates, names, runtime classes, deadlines."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.client.api import STRATEGIC_MERGE_PATCH
from steersman.kubelet.cgroups import CgroupFS
from steersman.kubelet.linux_resources import ResourcePolicy
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.resources import PODS, RUNTIMECLASSES
from steersman.testing.containerd import cgroup_parent
from tests.kubelet.real.conftest import RealNode, is_ready, shell, succeeded

pytestmark = pytest.mark.real
SHARED: Object = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
VOLUMES = [{"name": "shared", "emptyDir": {}}]


def status_of(pod: Object, name: str) -> Object:
    return next((entry for entry in pod["status"].get("containerStatuses") or () if entry["name"] == name), {})


def terminated(pod: Object, name: str) -> Object:
    return (status_of(pod, name).get("state") or {}).get("terminated") or {}


def has_failed(pod: Object) -> bool:
    return bool(pod["status"].get("phase") == "Failed")


async def test_last_words(node: RealNode) -> None:
    async with node.kubelet():
        await node.create(
            "words",
            shell("echo -n done > /dev/termination-log", name="file"),
            shell("echo -n here > /tmp/words; exit 3", name="elsewhere", terminationMessagePath="/tmp/words"),
            shell("echo from the log; exit 4", name="log", terminationMessagePolicy="FallbackToLogsOnError"),
            shell("echo nothing", name="quiet", terminationMessagePolicy="FallbackToLogsOnError"),
            shell("head -c 8000 /dev/zero | tr '\\0' x > /dev/termination-log", name="long"),
            restartPolicy="Never",
        )
        pod = await node.until("words", has_failed)
        found = {name: terminated(pod, name) for name in ("file", "elsewhere", "log", "quiet", "long")}
        assert {name: entry["exitCode"] for name, entry in found.items()} == {
            "file": 0, "elsewhere": 3, "log": 4, "quiet": 0, "long": 0
        }  # fmt: skip
        assert found["file"]["message"] == "done"
        assert found["elsewhere"]["message"] == "here"
        assert found["log"]["message"] == "from the log\n"
        assert "message" not in found["quiet"]
        assert found["long"]["message"] == "x" * 4096
        assert found["log"]["reason"] == "Error" and found["file"]["reason"] == "Completed"
        await node.delete("words")


async def test_restarts_by_rule(node: RealNode) -> None:
    rule = {"action": "Restart", "exitCodes": {"operator": "In", "values": [42]}}
    once = "[ -e /shared/tried ] && exit 0; touch /shared/tried; exit 42"
    async with node.kubelet():
        await node.create(
            "ruled",
            shell(once, restartPolicy="Never", restartPolicyRules=[rule], **SHARED),
            shell("exit 0", name="other"),
            restartPolicy="Never",
            volumes=VOLUMES,
        )
        pod = await node.until("ruled", succeeded, within_s=60)
        assert (status_of(pod, "main")["restartCount"], status_of(pod, "other")["restartCount"]) == (1, 0)
        assert status_of(pod, "main")["lastState"]["terminated"]["exitCode"] == 42
        await node.delete("ruled")


async def test_one_container_restarts_them_all(node: RealNode) -> None:
    rule = {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [88]}}
    once = "echo run >> /shared/runs; [ $(grep -c . /shared/runs) -gt 1 ] && exec sleep 1000; sleep 1; exit 88"
    async with node.kubelet():
        await node.create(
            "together",
            shell(once, restartPolicy="Never", restartPolicyRules=[rule], **SHARED),
            shell("exec sleep 1000", name="other"),
            initContainers=[shell("echo init >> /shared/inits", name="init", **SHARED)],
            restartPolicy="Never",
            volumes=VOLUMES,
        )
        pod = await node.until(
            "together",
            lambda pod: is_ready(pod) and status_of(pod, "other").get("restartCount", 0) > 0,
            within_s=60,
        )
        assert (status_of(pod, "main")["restartCount"], status_of(pod, "other")["restartCount"]) == (1, 1)
        [init] = pod["status"]["initContainerStatuses"]
        assert init["restartCount"] == 1, "init containers run again too"
        await node.delete("together")


async def test_hooks_that_fail_and_hooks_that_sleep(node: RealNode) -> None:
    async with node.kubelet():
        await node.create(
            "hooked",
            shell("trap exit TERM; while :; do sleep 0.1; done",
                  lifecycle={"postStart": {"exec": {"command": ["false"]}}}),
        )  # fmt: skip
        await node.until("hooked", lambda pod: status_of(pod, "main").get("restartCount", 0) > 0, within_s=60)
        said = await node.events()
        assert ("FailedPostStartHook", "PostStartHook failed") in said
        await node.delete("hooked")
        await node.create(
            "slow",
            shell("trap exit TERM; while :; do sleep 0.1; done", lifecycle={"preStop": {"sleep": {"seconds": 3}}}),
            terminationGracePeriodSeconds=30,
        )
        await node.until("slow", is_ready)
        began_s = node.clock.monotonic()
        await node.delete("slow", grace_s=30)
        assert 3 <= node.clock.monotonic() - began_s < 15


async def test_a_readiness_gate_is_somebody_elses_to_open(node: RealNode) -> None:
    async with node.kubelet():
        await node.create("gated", shell("exec sleep 1000"), readinessGates=[{"conditionType": "example.com/gate"}])
        pod = await node.until("gated", lambda pod: objects.is_true(pod, "ContainersReady"))
        closed = objects.condition(pod, "Ready")
        assert closed is not None and (closed["status"], closed["reason"]) == ("False", "ReadinessGatesNotReady")
        condition = {"type": "example.com/gate", "status": "True"}
        await node.client.patch(
            PODS, "gated", {"status": {"conditions": [condition]}}, namespace="default", subresource="status",
            patch_type=STRATEGIC_MERGE_PATCH,
        )  # fmt: skip
        pod = await node.until("gated", is_ready)
        assert objects.is_true(pod, "example.com/gate"), "it is not the kubelet's to take away"
        await node.delete("gated")


async def test_names_and_dns(node: RealNode) -> None:
    async with node.kubelet():
        pod = await node.create(
            "named", shell("hostname; cat /etc/resolv.conf; grep aliased /etc/hosts"),
            restartPolicy="Never", hostname="me", subdomain="sub", setHostnameAsFQDN=True,
            hostAliases=[{"ip": "192.0.2.7", "hostnames": ["aliased", "also"]}], dnsPolicy="None",
            dnsConfig={"nameservers": ["192.0.2.53"], "searches": ["x.example"], "options": [{"name": "ndots", "value": "2"}]},
        )  # fmt: skip
        await node.until("named", succeeded)
        assert node.log_of(pod, "main").splitlines() == [
            "me.sub.default.svc.cluster.local",
            "search x.example", "nameserver 192.0.2.53", "options ndots:2",
            "192.0.2.7\taliased\talso",
        ]  # fmt: skip
        await node.delete("named")


async def test_a_runtime_class_chooses_the_handler_and_has_its_overhead(node: RealNode) -> None:
    def runtime_class(name: str, handler: str, **fields: Any) -> Object:
        return {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": name}, "handler": handler, **fields}  # fmt: skip

    await node.client.create(
        RUNTIMECLASSES, runtime_class("heavy", "runc", overhead={"podFixed": {"memory": "32Mi", "cpu": "100m"}})
    )
    await node.client.create(RUNTIMECLASSES, runtime_class("unknown", "no-such-handler"))
    async with node.kubelet():
        limits = {"memory": "64Mi", "cpu": "200m"}
        await node.create("heavy", shell("exec sleep 1000", resources={"limits": limits}), runtimeClassName="heavy")
        pod = await node.until("heavy", is_ready)
        assert pod["spec"]["overhead"] == {"memory": "32Mi", "cpu": "100m"}
        cgroups = CgroupFS(root=cgroup_parent(node.instance))
        assert cgroups.memory_usage_bytes(pod) > 0
        current = cgroups.current(pod, ResourcePolicy(memory_capacity_bytes=1))
        assert (current.memory_limit_bytes, current.cpu_quota) == (96 << 20, 30_000)
        await node.create("strange", shell("true"), runtimeClassName="unknown")

        async def refused() -> bool:
            return any(
                reason == "FailedCreatePodSandBox" and "no-such-handler" in message
                for reason, message in await node.events()
            )

        await node.eventually(refused)
        await node.delete("heavy", "strange")


async def test_a_deadline_ends_a_pod(node: RealNode) -> None:
    async with node.kubelet():
        await node.create("late", shell("exec sleep 1000"), activeDeadlineSeconds=2, restartPolicy="Always")
        pod = await node.until("late", has_failed)
        assert pod["status"]["reason"] == "DeadlineExceeded"
        assert terminated(pod, "main")["exitCode"] in (137, 143)
        await node.delete("late")


async def test_a_container_over_its_memory_is_killed_and_says_so(node: RealNode) -> None:
    async with node.kubelet():
        await node.create(
            "greedy",
            shell("exec tail /dev/zero", resources={"limits": {"memory": "32Mi"}}),
            shell("exec sleep 1000", name="modest"),
        )
        pod = await node.until("greedy", lambda pod: status_of(pod, "main").get("restartCount", 0) > 0, within_s=60)
        was = status_of(pod, "main")["lastState"]["terminated"]
        assert (was["reason"], was["exitCode"]) == ("OOMKilled", 137)
        assert status_of(pod, "modest")["restartCount"] == 0 and status_of(pod, "modest")["ready"]
        await node.delete("greedy")
