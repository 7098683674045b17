"""Real pods in real containers."""

from __future__ import annotations

import asyncio

import pytest
import yaml

from steersman.kubelet.runtimes.cri import CRIRuntime
from steersman.kubelet.server.checkpoints import Checkpoints
from steersman.kubelet.volumes.mounts import mount_points
from steersman.meta import objects
from steersman.meta.errors import InternalError
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, PODS
from steersman.testing.containerd import BUSYBOX
from tests.kubelet.real.conftest import RealNode, is_ready, shell, succeeded

pytestmark = pytest.mark.real
NOTHING = [{"ready": False, "restartCount": 0, "state": {}}] * 2


def statuses(pod: Object) -> list[Object]:
    return pod["status"].get("containerStatuses") or NOTHING


def waits_for(pod: Object) -> str:
    return str(statuses(pod)[0]["state"].get("waiting", {}).get("reason", ""))


async def test_containerd_says_itself_that_it_makes_no_checkpoints(node: RealNode) -> None:
    async with node.kubelet() as kubelet:
        await node.create("kept", shell("sleep 1000"))
        await node.until("kept", is_ready)
        where = {"namespace": "default", "pod": "kept", "container": "main"}
        runtime = CRIRuntime(node.instance.endpoint)
        checkpoints = Checkpoints(
            pods=kubelet.lookup, runtime=runtime, directory=node.directory / "checkpoints", clock=node.clock
        )
        try:
            made = await checkpoints.make(where, [])
            assert made["items"][0].endswith(".tar")
        except InternalError as error:  # containerd before 2.0
            text = "(rpc error: code = Unimplemented desc = method CheckpointContainer not implemented)"
            assert error.message == f"checkpointing of default/kept/main failed {text}"
        finally:
            await runtime.close()
        await node.delete("kept")


async def test_a_pod_runs_sees_its_world_and_succeeds(node: RealNode) -> None:
    await node.config_map("settings", colour="green", size="big")
    await node.secret("password", key="hidden")
    async with node.kubelet() as kubelet:
        pod = await node.create(
            "world",
            shell(
                "echo colour=$COLOUR; cat /conf/size; echo; cat /secret/key; echo; cat /info/labels; echo;"
                " echo $ME $CPU; cat /etc/resolv.conf /etc/hosts; hostname; echo data > /scratch/x; ls -l /secret/;"
                " mount | grep /secret; ls -l $SA/..data/; cut -c1-2 $SA/token; cat $SA/namespace $SA/ca.crt; echo bye > /dev/termination-log",
                env=[
                    {"name": "SA", "value": "/var/run/secrets/kubernetes.io/serviceaccount"},
                    {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
                    {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "CPU", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
                ],
                resources={"limits": {"cpu": "250m", "memory": "64Mi"}},
                volumeMounts=[
                    {"name": "conf", "mountPath": "/conf"},
                    {"name": "secret", "mountPath": "/secret"},
                    {"name": "info", "mountPath": "/info"},
                    {"name": "scratch", "mountPath": "/scratch"},
                ],
            ),
            restartPolicy="Never",
            hostname="me",
            subdomain="sub",
            metadata={"labels": {"tier": "test"}},
            volumes=[
                {"name": "conf", "configMap": {"name": "settings"}},
                {"name": "secret", "secret": {"secretName": "password", "defaultMode": 0o400}},
                {
                    "name": "info",
                    "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]},
                },
                {"name": "scratch", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
            ],
        )
        done = await node.until("world", succeeded)
        said = node.log_of(pod, "main")
        assert "colour=green\nbig\nhidden\n" in said
        assert 'tier="test"' in said
        assert "world 250" in said
        assert "nameserver 10.96.0.10" in said and "default.svc.cluster.local" in said
        assert f"{done['status']['podIP']}\tme.sub.default.svc.cluster.local\tme" in said
        assert "tmpfs" in said
        assert "ey\ndefaultcertificate" in said
        [status] = done["status"]["containerStatuses"]
        assert status["state"]["terminated"]["message"] == "bye\n"
        assert status["state"]["terminated"]["reason"] == "Completed"
        uid = objects.uid(pod)
        await node.wait(lambda: not [point for point in mount_points() if uid in point])
        await node.delete("world")
        await node.wait(lambda: not (node.config.pod_logs_dir / f"default_world_{uid}").exists())
        assert not (node.config.root_dir / "pods" / uid).exists()
        count = kubelet.metrics.registry.get_sample_value
        for operation in ("create", "destroy"):
            assert count("kubelet_cgroup_manager_duration_seconds_count", {"operation_type": operation})
        mounted = {"operation_name": "volume_mount", "status": "success", "migrated": "false"}
        for plugin in ("configmap", "secret", "downward-api", "empty-dir", "projected"):
            labels = {"volume_plugin": f"kubernetes.io/{plugin}", **mounted}
            assert count("storage_operation_duration_seconds_count", labels)


async def test_init_containers_sidecars_and_hooks(node: RealNode) -> None:
    shared = [{"name": "shared", "mountPath": "/shared"}]
    async with node.kubelet():
        pod = await node.create(
            "order",
            shell(
                "cat /shared/log; echo main >> /shared/log; sleep 1000",
                volumeMounts=shared,
                lifecycle={
                    "postStart": {"exec": {"command": ["sh", "-c", "echo hook >> /shared/log"]}},
                    "preStop": {"exec": {"command": ["sh", "-c", "cp /shared/log /host/log"]}},
                },
            )
            | {"volumeMounts": [*shared, {"name": "host", "mountPath": "/host"}]},
            initContainers=[
                shell("echo one >> /shared/log", name="one", volumeMounts=shared),
                shell(
                    "echo side >> /shared/log; trap exit TERM; while :; do sleep 0.2; done",
                    name="side",
                    restartPolicy="Always",
                    volumeMounts=shared,
                    startupProbe={"exec": {"command": ["grep", "side", "/shared/log"]}, "periodSeconds": 1},
                ),
                shell("echo two >> /shared/log", name="two", volumeMounts=shared),
            ],
            volumes=[
                {"name": "shared", "emptyDir": {}},
                {"name": "host", "hostPath": {"path": str(node.directory / "host"), "type": "DirectoryOrCreate"}},
            ],
        )
        await node.until("order", is_ready)
        assert node.log_of(pod, "main").split()[:3] == ["one", "side", "two"]
        await node.delete("order", grace_s=5)
        assert (node.directory / "host" / "log").read_text().split() == ["one", "side", "two", "main", "hook"] or (
            node.directory / "host" / "log"
        ).read_text().split() == ["one", "side", "two", "hook", "main"]


async def test_probes_of_every_kind(node: RealNode) -> None:
    server = "mkdir /www; echo hi > /www/index.html; (sleep 1; touch /tmp/up) & httpd -f -p 8080 -h /www"
    async with node.kubelet():
        await node.create(
            "probed",
            shell(
                server,
                ports=[{"name": "web", "containerPort": 8080}],
                startupProbe={
                    "exec": {"command": ["test", "-e", "/tmp/up"]},
                    "periodSeconds": 1,
                    "failureThreshold": 9,
                },
                readinessProbe={"httpGet": {"port": "web", "path": "/"}, "periodSeconds": 1},
                livenessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1},
            ),
            shell(
                "sleep 1000",
                name="sick",
                livenessProbe={"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 2},
            ),
        )
        await node.until("probed", lambda pod: statuses(pod)[0]["ready"])
        await node.until("probed", lambda pod: statuses(pod)[1]["restartCount"] > 0)
        await node.delete("probed")


async def test_a_config_map_is_updated_in_a_running_pod(node: RealNode) -> None:
    stored = await node.config_map("live", key="old")
    async with node.kubelet():
        pod = await node.create(
            "watcher",
            shell("while ! grep -q new /conf/key; do sleep 0.1; done; cat /conf/key",
                  volumeMounts=[{"name": "conf", "mountPath": "/conf"}]),
            restartPolicy="Never",
            volumes=[{"name": "conf", "configMap": {"name": "live"}}],
        )  # fmt: skip
        await node.until("watcher", is_ready)
        await node.client.update(CONFIGMAPS, {**stored, "data": {"key": "new"}})
        await node.until("watcher", succeeded, within_s=20)
        assert "new" in node.log_of(pod, "main")
        await node.delete("watcher")


async def test_what_is_missing_is_waited_for(node: RealNode) -> None:
    async with node.kubelet():
        await node.create(
            "waiting",
            shell("echo $X", env=[{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "later", "key": "x"}}}]),
            restartPolicy="Never",
        )
        waiting = await node.until(
            "waiting",
            lambda pod: (
                (pod["status"].get("containerStatuses") or [{"state": {}}])[0]["state"].get("waiting", {}).get("reason")
                == "CreateContainerConfigError"
            ),
        )
        assert (
            'configmaps "later" not found' in waiting["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
        )
        await node.config_map("later", x="1")
        await node.until("waiting", succeeded, within_s=20)
        await node.delete("waiting")


async def test_a_restarted_kubelet_restarts_nothing_and_orphans_go(node: RealNode) -> None:
    async with node.kubelet():
        probe = {"exec": {"command": ["true"]}, "periodSeconds": 1, "timeoutSeconds": 10}
        await node.create("stays", shell("sleep 1000", readinessProbe=probe))
        await node.create("goes", shell("sleep 1000"))
        before = await node.until("stays", is_ready)
        await node.until("goes", is_ready)
    await node.client.delete(PODS, "goes", namespace="default", grace_period_s=0)
    async with node.kubelet() as kubelet:
        await node.wait(lambda: len(kubelet.workers) == 1)
        await asyncio.sleep(1.5)
        after = await node.pod("stays")
        assert (
            after["status"]["containerStatuses"][0]["containerID"]
            == before["status"]["containerStatuses"][0]["containerID"]
        )
        assert after["status"]["containerStatuses"][0]["restartCount"] == 0
        assert is_ready(after)
        assert objects.condition(after, "Ready") == objects.condition(before, "Ready")
        await node.delete("stays")


async def test_static_pods_run_and_have_mirrors(node: RealNode) -> None:
    folder = node.directory / "manifests"
    folder.mkdir()
    async with node.kubelet() as kubelet:
        manifest = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "fixed"},
            "spec": {"containers": [shell("sleep 1000")], "terminationGracePeriodSeconds": 1},
        }
        (folder / "fixed.yaml").write_text(yaml.safe_dump(manifest))
        await node.wait(lambda: bool(kubelet.workers))
        deadline = node.clock.monotonic() + 20
        while True:
            try:
                await node.until("fixed-real-1", is_ready, within_s=20)
                break
            except Exception:
                assert node.clock.monotonic() < deadline
                await asyncio.sleep(0.1)
        (folder / "fixed.yaml").unlink()
        await node.until_gone("fixed-real-1")
        await node.wait(lambda: not kubelet.workers)


async def test_a_subpath_cannot_leave_its_volume(node: RealNode) -> None:
    async with node.kubelet():
        await node.create(
            "hostile",
            shell("true", volumeMounts=[{"name": "v", "mountPath": "/out", "subPath": "escape"}]),
            restartPolicy="Never",
            initContainers=[
                shell("ln -s /etc /v/escape", name="trick", volumeMounts=[{"name": "v", "mountPath": "/v"}])
            ],
            volumes=[{"name": "v", "emptyDir": {}}],
        )
        failed = await node.until(
            "hostile",
            lambda pod: (
                (pod["status"].get("containerStatuses") or [{"state": {}}])[0]["state"].get("waiting", {}).get("reason")
                == "CreateContainerConfigError"
            ),
        )
        assert "subPath" in failed["status"]["containerStatuses"][0]["state"]["waiting"]["message"]
        await node.delete("hostile")


async def test_a_subpath_is_part_of_a_volume(node: RealNode) -> None:
    async with node.kubelet():
        pod = await node.create(
            "part",
            shell("echo x > /v/a/b/f; cat /part/f", volumeMounts=[
                {"name": "v", "mountPath": "/v"},
                {"name": "v", "mountPath": "/part", "subPathExpr": "a/$(NAME)"},
            ], env=[{"name": "NAME", "value": "b"}]),
            restartPolicy="Never",
            volumes=[{"name": "v", "emptyDir": {}}],
            securityContext={"fsGroup": 4242},
        )  # fmt: skip
        await node.until("part", succeeded)
        assert node.log_of(pod, "main") == "x\n"
        await node.delete("part")


async def test_the_files_of_an_image_are_a_volume(node: RealNode) -> None:
    """By containerd itself from 2.1 on, before by the kubelet; two containers share it and one sees a part."""
    async with node.kubelet() as kubelet:
        pod = await node.create(
            "image",
            shell("/data/bin/busybox echo from the image; touch /data/x 2>/dev/null || echo read-only",
                  volumeMounts=[{"name": "data", "mountPath": "/data"}]),
            shell("ls /part/busybox", name="part", volumeMounts=[{"name": "data", "mountPath": "/part", "subPath": "bin"}]),
            restartPolicy="Never",
            volumes=[{"name": "data", "image": {"reference": BUSYBOX, "pullPolicy": "IfNotPresent"}}],
        )  # fmt: skip
        await node.until("image", succeeded)
        assert node.log_of(pod, "main").splitlines()[0] == "from the image"
        assert node.log_of(pod, "main").splitlines()[-1] == "read-only"
        assert node.log_of(pod, "part") == "/part/busybox\n"
        uid = objects.uid(pod)
        await node.wait(lambda: not [point for point in mount_points() if uid in point])
        await node.create(
            "absent",
            shell("true", volumeMounts=[{"name": "data", "mountPath": "/data"}]),
            volumes=[{"name": "data", "image": {"reference": "localhost/not/there:1", "pullPolicy": "Never"}}],
        )
        await node.until("absent", lambda pod: waits_for(pod) == "ErrImageNeverPull")
        count = kubelet.metrics.registry.get_sample_value
        assert count("kubelet_image_volume_mounted_succeed_total") == 2
        failed = count("kubelet_image_volume_mounted_errors_total")
        assert failed and count("kubelet_image_volume_requested_total") == 2 + failed
        await node.delete("image", "absent")
