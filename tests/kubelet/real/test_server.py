"""What the kubelet's server tells of real containers: their logs, this run's and the one's before, and what they use."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

import aiohttp
import pytest
from msgspec import Struct
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from steersman.cluster.pki import ClusterPKI
from steersman.kubelet.component import Kubelet
from steersman.kubelet.runtimes.cri import CRIRuntime
from steersman.kubelet.server.authentication import CertificateAuthenticator
from steersman.kubelet.server.authorization import SubjectAccessReviewAuthorizer
from steersman.kubelet.server.certificates import ServerCertificate
from steersman.kubelet.server.server import KubeletServer, ServerConfig
from tests.kubelet.real.conftest import NODE, RealNode, is_ready, shell

pytestmark = pytest.mark.real
MIB = 1 << 20
TWICE = (
    "n=$(cat /s/n 2>/dev/null || echo 0); echo run $n; echo $((n + 1)) > /s/n; [ $n = 0 ] && exit 3;"
    " echo two; sleep 1; echo three; touch /s/done; exec sleep 1000"
)


class Served(Struct, frozen=True, kw_only=True):
    session: aiohttp.ClientSession

    async def text(self, path: str, **query: str) -> str:
        async with self.session.get(path, params=query) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.text()

    async def summary(self, name: str) -> Mapping[str, Any] | None:
        """What ``/stats/summary`` has of one pod."""
        async with self.session.get("/stats/summary") as answer:
            pods = (await answer.json())["pods"]
        return next((pod for pod in pods if pod["podRef"]["name"] == name), None)

    async def sample(self, path: str, name: str, **labels: str) -> float | None:
        """The first that has these labels."""
        for family in text_string_to_metric_families(await self.text(path)):
            for sample in family.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return float(sample.value)
        return None


@asynccontextmanager
async def served(node: RealNode, kubelet: Kubelet) -> AsyncIterator[Served]:
    """By a client with a certificate, whom the API server lets."""
    pki = ClusterPKI(node.directory / "pki", clock=node.clock)
    pair = pki.ensure_kubelet_server(NODE, ["127.0.0.1"])
    admin = pki.ensure_client("admin", "admin", ("system:masters",))
    runtime = CRIRuntime(node.instance.endpoint)
    server = KubeletServer(
        pods=kubelet.lookup,
        runtime=runtime,
        stats=kubelet.upkeep.stats,
        authenticator=CertificateAuthenticator(),
        authorizer=SubjectAccessReviewAuthorizer(node.client, node_name=NODE, clock=node.clock),
        certificate=ServerCertificate((pair.certificate, pair.key), pki.authority.pair.certificate),
        clock=node.clock,
        config=ServerConfig(address="127.0.0.1", port=0, healthz_port=0),
        registry=kubelet.metrics.registry,
    )
    await server.start()
    context = ssl.create_default_context(cafile=str(pki.authority.pair.certificate))
    context.load_cert_chain(admin.certificate, admin.key)
    connector = aiohttp.TCPConnector(ssl=context, force_close=True)
    try:
        async with aiohttp.ClientSession(f"https://127.0.0.1:{server.port}", connector=connector) as session:
            yield Served(session=session)
    finally:
        await server.close()
        await runtime.close()


async def test_logs_of_this_run_and_of_the_one_before(node: RealNode) -> None:
    async with node.kubelet() as kubelet, served(node, kubelet) as server:
        path = "/containerLogs/default/twice/main"
        mounted = [{"name": "s", "mountPath": "/s"}]
        done = {"exec": {"command": ["test", "-e", "/s/done"]}, "periodSeconds": 1, "timeoutSeconds": 10}
        await node.create(
            "twice", shell(TWICE, volumeMounts=mounted, readinessProbe=done), volumes=[{"name": "s", "emptyDir": {}}]
        )
        await node.until("twice", is_ready, within_s=60)
        assert await server.text(path) == "run 1\ntwo\nthree\n"
        assert await server.text(path, previous="true") == "run 0\n"
        assert await server.text(path, tailLines="1") == "three\n"
        assert await server.text(path, limitBytes="7") == "run 1\nt"
        times = [line.split()[0] for line in (await server.text(path, timestamps="true")).splitlines()]
        assert times == sorted(times) and all(datetime.fromisoformat(time[:19]) for time in times)
        assert await server.text(path, sinceTime=times[2]) == "three\n"
        async with server.session.get(path, params={"follow": "true", "tailLines": "0"}) as following:
            await node.delete("twice")
            assert await following.text() == "", "it ends with its container"


async def test_what_containers_use(node: RealNode) -> None:
    node.config = replace(node.config, volume_stats_s=1.0)
    async with node.kubelet() as kubelet, served(node, kubelet) as server:
        await node.create(
            "used",
            shell("dd if=/dev/zero of=/memory/f bs=1M count=24 2>/dev/null; dd if=/dev/zero of=/disk/f bs=1M count=6"
                  " 2>/dev/null; dd if=/dev/zero of=/own bs=1M count=5 2>/dev/null; echo said; sleep 1000",
                  volumeMounts=[{"name": "memory", "mountPath": "/memory"}, {"name": "disk", "mountPath": "/disk"}]),
            volumes=[{"name": "memory", "emptyDir": {"medium": "Memory"}}, {"name": "disk", "emptyDir": {}}],
        )  # fmt: skip
        await node.until("used", is_ready)

        async def is_told() -> Mapping[str, Any] | None:
            found = await server.summary("used")
            volumes = {entry["name"]: entry for entry in (found or {}).get("volume") or ()}
            [main] = (found or {}).get("containers") or [{}]
            told = (
                main.get("memory", {}).get("workingSetBytes", 0) >= 24 * MIB
                and main.get("rootfs", {}).get("usedBytes", 0) >= 5 * MIB
                and volumes.get("disk", {}).get("usedBytes", 0) >= 6 * MIB
                and volumes.get("memory", {}).get("usedBytes", 0) >= 24 * MIB
            )
            return found if told else None

        found = await node.eventually(is_told, within_s=60)
        [main] = found["containers"]
        assert main["name"] == "main" and main["cpu"]["usageCoreNanoSeconds"] > 0
        assert 0 < main["logs"]["usedBytes"] < MIB
        assert found["memory"]["workingSetBytes"] >= main["memory"]["workingSetBytes"]
        assert found["ephemeral-storage"]["usedBytes"] >= 11 * MIB, "of the node's disk"
        assert found["network"]["name"] == "eth0"
        assert found["process_stats"]["process_count"] >= 1
        labels = {"namespace": "default", "pod": "used"}
        for path in ("/metrics/resource", "/metrics/cadvisor"):
            of_container = {"container": "main", **labels}
            bytes_used = await server.sample(path, "container_memory_working_set_bytes", **of_container)
            assert bytes_used and bytes_used >= 24 * MIB, path
            assert await server.sample(path, "container_cpu_usage_seconds_total", **of_container), path
        assert await server.sample("/metrics/resource", "pod_memory_working_set_bytes", **labels)
        assert await server.sample("/metrics/resource", "scrape_error") == 0
        await node.delete("used")
        assert await server.summary("used") is None
