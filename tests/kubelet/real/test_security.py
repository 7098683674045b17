"""Security contexts as processes in real containers see them, and what a node refuses."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from steersman.client.api import STRATEGIC_MERGE_PATCH
from steersman.kubelet import apparmor
from steersman.meta.objects import Object
from steersman.meta.resources import PODS
from tests.kubelet.real.conftest import RealNode, is_ready, shell, succeeded

pytestmark = pytest.mark.real
STATUS = "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status | tr -d '\\t ' | tr '\\n' ' '"


def facts(text: str) -> dict[str, str]:
    """``CapEff:0 Seccomp:2`` by name."""
    return dict(word.split(":", 1) for word in text.split() if ":" in word)


async def said(node: RealNode, name: str, *containers: Object, **spec: Any) -> dict[str, str]:
    """What each container of a pod wrote before it ended."""
    await node.create(name, *containers, restartPolicy="Never", **spec)
    pod = await node.until(name, succeeded)
    found = {item["name"]: node.log_of(pod, item["name"]) for item in containers}
    await node.delete(name)
    return found


async def test_users_and_groups(node: RealNode) -> None:
    who = "id -u; id -g; id -G; touch /data/$HOSTNAME-$WHO; stat -c '%u %g' /data/$HOSTNAME-$WHO"
    mounted = [{"name": "data", "mountPath": "/data"}]
    async with node.kubelet():
        found = await said(
            node, "users",
            shell(who, volumeMounts=mounted, env=[{"name": "WHO", "value": "pod"}]),
            shell(who, name="own", volumeMounts=mounted, env=[{"name": "WHO", "value": "own"}],
                  securityContext={"runAsUser": 1001, "runAsGroup": 3001}),
            volumes=[{"name": "data", "emptyDir": {}}],
            securityContext={"runAsUser": 1000, "runAsGroup": 3000, "fsGroup": 2000, "supplementalGroups": [4000]},
        )  # fmt: skip
        user, group, groups, owner = found["main"].splitlines()
        assert (user, group, owner) == ("1000", "3000", "1000 2000")
        assert sorted(groups.split()) == ["2000", "3000", "4000"]
        user, group, groups, owner = found["own"].splitlines()
        assert (user, group, owner) == ("1001", "3001", "1001 2000")
        assert sorted(groups.split()) == ["2000", "3001", "4000"]


async def test_an_image_that_runs_as_root_is_refused_where_root_is(node: RealNode) -> None:
    async with node.kubelet():
        await node.create("rootless", shell("id"), securityContext={"runAsNonRoot": True})

        def refused(pod: Object) -> str:
            waiting = (pod["status"].get("containerStatuses") or [{"state": {}}])[0]["state"].get("waiting") or {}
            return str(waiting.get("message") or "") if waiting.get("reason") == "CreateContainerConfigError" else ""

        pod = await node.until("rootless", refused)
        assert refused(pod).startswith("container has runAsNonRoot and image will run as root (pod: ")
        await node.delete("rootless")


async def test_capabilities_privileges_and_system_calls(node: RealNode) -> None:
    async with node.kubelet():
        found = await said(
            node, "powers",
            shell(STATUS + "; echo masked:$(grep -c ' /proc/timer_list ' /proc/self/mountinfo)", name="plain"),
            shell(STATUS, name="bare", securityContext={
                "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
                "allowPrivilegeEscalation": False, "seccompProfile": {"type": "RuntimeDefault"}}),
            shell(STATUS + "; touch /x; echo masked:$(grep -c ' /proc/timer_list ' /proc/self/mountinfo)", name="mighty",
                  securityContext={"privileged": True}),
            shell("touch /x 2>&1 || echo refused; touch /dev/shm/x && echo shared", name="sealed",
                  securityContext={"readOnlyRootFilesystem": True}),
        )  # fmt: skip
        plain, bare, mighty = (facts(found[name]) for name in ("plain", "bare", "mighty"))
        assert (bare["CapEff"], bare["NoNewPrivs"], bare["Seccomp"]) == ("0000000000000400", "1", "2")
        assert (plain["NoNewPrivs"], plain["Seccomp"]) == ("0", "0")
        assert mighty["CapEff"] == mighty["CapBnd"]
        more = int(mighty["CapEff"], 16) & ~int(plain["CapEff"], 16)
        assert more and not int(plain["CapEff"], 16) & ~int(mighty["CapEff"], 16)
        assert (plain["masked"], mighty["masked"]) == ("1", "0")
        assert "Read-only file system" in found["sealed"] and found["sealed"].endswith("refused\nshared\n")


async def test_filters_of_system_calls(node: RealNode) -> None:
    """One of the node's own, one that is not there, and the runtime's for all where the node says so."""
    profiles = node.config.root_dir / "seccomp" / "teams"
    profiles.mkdir(parents=True)
    denied = {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}
    (profiles / "sealed.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [denied]}))

    def localhost(name: str) -> Object:
        return {"seccompProfile": {"type": "Localhost", "localhostProfile": name}}

    async with node.kubelet():
        found = await said(
            node, "filtered",
            shell("mkdir /x && echo made || echo refused", name="own", securityContext=localhost("teams/sealed.json")),
            shell("mkdir /x && echo made || echo refused", name="none"),
        )  # fmt: skip
        assert found["own"].endswith("refused\n") and found["none"] == "made\n"
        await node.create("lost", shell("true", securityContext=localhost("teams/none.json")))
        await node.until(
            "lost", lambda pod: "CreateContainerError" in str(pod["status"]) and "none.json" in str(pod["status"])
        )
        await node.delete("lost")
    node.config = replace(node.config, seccomp_default=True)
    async with node.kubelet():
        unconfined = {"seccompProfile": {"type": "Unconfined"}}
        found = await said(node, "default", shell(STATUS), shell(STATUS, name="free", securityContext=unconfined))
        assert (facts(found["main"])["Seccomp"], facts(found["free"])["Seccomp"]) == ("2", "0")


async def test_namespaces_of_the_host(node: RealNode) -> None:
    script = "for n in net pid ipc uts mnt; do readlink /proc/self/ns/$n; done"
    ours = {name: os.readlink(f"/proc/self/ns/{name}") for name in ("net", "pid", "ipc", "uts", "mnt")}
    async with node.kubelet():
        host = await said(node, "host", shell(script), hostNetwork=True, hostPID=True, hostIPC=True)
        seen = dict(zip(ours, host["main"].split(), strict=True))
        assert {name for name in ours if seen[name] == ours[name]} == {"net", "pid", "ipc", "uts"}
        own = await said(node, "own", shell(script))
        seen = dict(zip(ours, own["main"].split(), strict=True))
        assert not [name for name in ours if seen[name] == ours[name]]


async def test_processes_are_shared_where_the_pod_says_so(node: RealNode) -> None:
    async with node.kubelet():
        pod = await node.create(
            "shared",
            shell("exec sleep 12345", name="sleeper"),
            shell("until ps | grep -q '[s]leep 12345'; do sleep 0.1; done; echo found; ps | head -3; exec sleep 1000"),
            shareProcessNamespace=True,
        )
        await node.until("shared", is_ready)
        await node.wait(lambda: "found" in node.log_of(pod, "main"))
        await node.wait(lambda: "pause" in node.log_of(pod, "main"))
        await node.delete("shared")


async def test_an_ephemeral_container_sees_its_targets_processes(node: RealNode) -> None:
    async with node.kubelet():
        await node.create("target", shell("exec sleep 54321"))
        await node.until("target", is_ready)
        debugger = shell("ps | grep '[s]leep 54321' && echo seen", name="debug", targetContainerName="main")
        await node.client.patch(
            PODS, "target", {"spec": {"ephemeralContainers": [debugger]}}, namespace="default",
            subresource="ephemeralcontainers", patch_type=STRATEGIC_MERGE_PATCH,
        )  # fmt: skip

        def ended(pod: Object) -> Any:
            found = pod["status"].get("ephemeralContainerStatuses") or [{"state": {}}]
            return found[0]["state"].get("terminated")

        pod = await node.until("target", ended)
        assert ended(pod)["exitCode"] == 0
        assert "seen" in node.log_of(pod, "debug")
        assert is_ready(pod), "it does not count"
        await node.delete("target")


@pytest.mark.skipif(apparmor.is_enabled(), reason="this machine has AppArmor")
async def test_a_profile_is_refused_where_the_kernel_has_none(node: RealNode) -> None:
    async with node.kubelet():
        profile = {"appArmorProfile": {"type": "RuntimeDefault"}}
        await node.create("confined", shell("true"), securityContext=profile)
        pod = await node.until("confined", lambda pod: pod["status"].get("phase") == "Failed")
        assert pod["status"]["reason"] == "AppArmor"
        text = "Pod was rejected: Cannot enforce AppArmor: AppArmor is not enabled on the host"
        assert pod["status"]["message"] == text
        await node.delete("confined")


@pytest.mark.skipif(not apparmor.is_enabled(), reason="needs AppArmor")
async def test_profiles_confine_containers(node: RealNode) -> None:
    """The runtime's where nothing or that is asked for, none, and one of the node's own."""
    confined = "cat /proc/self/attr/current; touch /kept 2>/dev/null && echo wrote || echo refused"
    with profile("steersman-test-sealed", "deny /kept w,"):
        async with node.kubelet():
            found = await said(
                node, "profiles",
                shell(confined, name="default"),
                shell(confined, name="runtime", securityContext={"appArmorProfile": {"type": "RuntimeDefault"}}),
                shell(confined, name="free", securityContext={"appArmorProfile": {"type": "Unconfined"}}),
                shell(confined, name="own", securityContext={
                    "appArmorProfile": {"type": "Localhost", "localhostProfile": "steersman-test-sealed"}}),
            )  # fmt: skip
            for name in ("default", "runtime"):
                assert found[name].splitlines() == ["cri-containerd.apparmor.d (enforce)", "wrote"]
            assert found["free"].splitlines() == ["unconfined", "wrote"]
            assert found["own"].splitlines() == ["steersman-test-sealed (enforce)", "refused"]


@pytest.mark.skipif(not apparmor.is_enabled(), reason="needs AppArmor")
async def test_a_profile_that_the_node_does_not_have_keeps_the_container_from_starting(node: RealNode) -> None:
    async with node.kubelet():
        wanted = {"appArmorProfile": {"type": "Localhost", "localhostProfile": "steersman-test-none"}}
        await node.create("lost", shell("sleep 1000", securityContext=wanted))

        def waiting(pod: Object) -> Object:
            found: Object = (pod["status"].get("containerStatuses") or [{"state": {}}])[0]["state"].get("waiting") or {}
            return found if found.get("reason") == "CreateContainerError" else {}

        pod = await node.until("lost", waiting)
        assert "steersman-test-none" in waiting(pod)["message"]
        await node.delete("lost")


@contextmanager
def profile(name: str, rule: str) -> Iterator[None]:
    """A profile that allows everything but what ``rule`` denies, in the kernel for as long as this lasts."""
    text = f"profile {name} flags=(attach_disconnected,mediate_deleted) {{ file, capability, network, {rule} }}\n"
    text = text.replace(", ", ",\n")
    subprocess.run(["apparmor_parser", "--add"], input=text, text=True, check=True)
    try:
        yield
    finally:
        subprocess.run(["apparmor_parser", "--remove"], input=text, text=True, check=True)


async def test_sysctls(node: RealNode) -> None:
    def tuned(*names: str) -> Object:
        return {"sysctls": [{"name": name, "value": value} for name, value in (item.split("=") for item in names)]}

    async with node.kubelet():
        script = "cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_unprivileged_port_start"
        safe = tuned("kernel.shm_rmid_forced=1", "net.ipv4.ip_unprivileged_port_start=90")
        assert (await said(node, "safe", shell(script), securityContext=safe))["main"].split() == ["1", "90"]
        await node.create("unsafe", shell("true"), securityContext=tuned("kernel.msgmax=65536"))
        pod = await node.until("unsafe", lambda pod: pod["status"].get("phase") == "Failed")
        assert pod["status"]["reason"] == "SysctlForbidden"
        await node.delete("unsafe")
    node.config = replace(node.config, allowed_unsafe_sysctls=("kernel.msg*",))
    async with node.kubelet():
        allowed = await said(
            node, "allowed", shell("cat /proc/sys/kernel/msgmax"), securityContext=tuned("kernel.msgmax=65536")
        )
        assert allowed["main"] == "65536\n"


async def test_mounts_that_come_later_and_those_that_go_out(node: RealNode) -> None:
    """Propagation both ways through one folder of the node, and none where none is asked for."""
    folder = node.directory / "kubelet" / "propagated"
    folder.mkdir(parents=True)

    def mounting(name: str, script: str, propagation: str, **fields: Any) -> Object:
        mounts = [{"name": "shared", "mountPath": "/shared", "mountPropagation": propagation}]
        return shell(script, name=name, volumeMounts=mounts, **fields)

    async with node.kubelet():
        script = "mkdir -p /shared/in && mount -t tmpfs tmpfs /shared/in && echo yes > /shared/in/seen && sleep 1000"
        wait = "for i in $(seq 50); do [ -e /shared/in/seen ] && break; sleep 0.1; done; ls /shared/in; sleep 1000"
        pod = await node.create(
            "spread",
            mounting("giver", script, "Bidirectional", securityContext={"privileged": True}),
            mounting("taker", wait, "HostToContainer"),
            volumes=[{"name": "shared", "hostPath": {"path": str(folder)}}],
        )
        await node.until("spread", is_ready)
        await node.wait((folder / "in" / "seen").exists)
        await node.wait(lambda: node.log_of(pod, "taker") == "seen\n")
        await node.create(
            "alone",
            mounting("main", "touch /shared/alone; cat /proc/self/mountinfo | grep -c ' /shared/in ' ; true", "None"),
            restartPolicy="Never",
            volumes=[{"name": "shared", "hostPath": {"path": str(folder)}}],
        )
        await node.until("alone", succeeded)
        await node.delete("spread", "alone")
