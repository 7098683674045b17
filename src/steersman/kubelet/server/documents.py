"""What the server tells of the node: its pods, statistics and metrics, health, configuration and flags."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiohttp import web
from msgspec import Struct, field
from prometheus_client import CollectorRegistry

from steersman.aio.clock import Clock
from steersman.kubelet.cadvisor_metrics import cadvisor_metrics
from steersman.kubelet.exposition import CONTENT_TYPE, registry_text
from steersman.kubelet.resource_metrics import resource_metrics
from steersman.kubelet.runtimes.api import Runtime
from steersman.kubelet.runtimes.containers import ContainerFilter
from steersman.kubelet.server_api import PodLookup
from steersman.kubelet.stats import StatsProvider
from steersman.kubelet.summary import summary
from steersman.meta.errors import NotFound
from steersman.meta.times import format_time

CHECKS: Final = ("ping", "log", "syncloop")
ZPAGE_WARNING: Final = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for"
    " debugging purposes only."
)


class About(Struct, frozen=True, kw_only=True):
    """What the kubelet says of itself."""

    configz: Callable[[], Mapping[str, Any]] = dict
    """KubeletConfiguration, as ``/configz`` shows it."""
    flags: Mapping[str, str] = field(default_factory=dict)
    healthy: Callable[[], bool] = lambda: True
    """The sync loop still turns."""
    version: str = "1.36.0"
    started_s: float = 0.0


class Documents:
    """Answers from memory, from the runtime and from the kernel."""

    def __init__(
        self,
        *,
        pods: PodLookup,
        runtime: Runtime,
        stats: StatsProvider,
        clock: Clock,
        registry: CollectorRegistry,
        probes: CollectorRegistry | None,
        about: About,
    ) -> None:
        self._pods = pods
        self._runtime = runtime
        self._stats = stats
        self._clock = clock
        self._registry = registry
        self._probes = probes or CollectorRegistry()
        self._about = about
        self._paths: list[str] = []

    def add_read_only(self, router: web.UrlDispatcher) -> None:
        """The routes that upstream's read-only port has too."""
        router.add_get("/pods", self.pods)
        router.add_get("/healthz", self.healthz)
        router.add_get("/healthz/{check}", self.healthz)
        router.add_get("/stats/summary", self.summary)
        router.add_get("/metrics", self.metrics)
        router.add_get("/metrics/resource", self.resource_metrics)
        router.add_get("/metrics/cadvisor", self.cadvisor_metrics)
        router.add_get("/metrics/probes", self.probe_metrics)
        router.add_get("/metrics/slis", self.slis)

    def add_debugging(self, router: web.UrlDispatcher) -> None:
        router.add_get("/runningpods/", self.running_pods)
        router.add_get("/configz", self.configz)
        router.add_get("/flagz", self.flagz)
        router.add_get("/statusz", self.statusz)
        self._paths = sorted({f"/{resource.canonical.strip('/').partition('/')[0]}" for resource in router.resources()})

    async def pods(self, request: web.Request) -> web.StreamResponse:
        return as_json(_pod_list([dict(pod) for pod in self._pods.pods()]))

    async def running_pods(self, request: web.Request) -> web.StreamResponse:
        """As the runtime has them, whatever the API server says."""
        sandboxes = {sandbox.id: sandbox for sandbox in await self._runtime.list_pod_sandboxes()}
        pods: dict[str, dict[str, Any]] = {}
        for container in await self._runtime.list_containers(ContainerFilter(state="RUNNING")):
            sandbox = sandboxes.get(container.sandbox_id)
            if sandbox is None:
                continue
            metadata = sandbox.metadata
            pod = pods.setdefault(
                metadata.uid,
                {
                    "metadata": {"name": metadata.name, "namespace": metadata.namespace, "uid": metadata.uid},
                    "spec": {"containers": []},
                    "status": {},
                },
            )
            pod["spec"]["containers"].append(
                {"name": container.metadata.name, "image": container.image_ref, "resources": {}}
            )
        return as_json(_pod_list(list(pods.values())))

    async def healthz(self, request: web.Request) -> web.StreamResponse:
        check = request.match_info.get("check", "")
        if check and check not in CHECKS:
            raise NotFound("404 page not found")
        failed = [name for name in CHECKS if check in ("", name) and name == "syncloop" and not self._about.healthy()]
        excluded = request.query.getall("exclude", ())
        failed = [name for name in failed if name not in excluded]
        if failed:
            if check:
                return web.Response(status=500, text=f"internal server error: {check} check failed\n")
            lines = [f"[{'-' if name in failed else '+'}]{name}{_verdict(name in failed)}" for name in CHECKS]
            return web.Response(status=500, text="\n".join([*lines, "healthz check failed", ""]))
        if not check and "verbose" in request.query:
            lines = [
                f"[+]{name} excluded: ok" if name in excluded else f"[+]{name}{_verdict(False)}" for name in CHECKS
            ]
            return web.Response(text="\n".join([*lines, "healthz check passed", ""]))
        return web.Response(text="ok")

    async def summary(self, request: web.Request) -> web.StreamResponse:
        only = request.query.get("only_cpu_and_memory", "").lower() == "true"
        return as_json(await summary(self._stats, only_cpu_and_memory=only))

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=registry_text(self._registry), headers={"Content-Type": CONTENT_TYPE})

    async def resource_metrics(self, request: web.Request) -> web.StreamResponse:
        text = await resource_metrics(self._stats, now_s=self._clock.now())
        return web.Response(body=text.encode(), headers={"Content-Type": CONTENT_TYPE})

    async def cadvisor_metrics(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=(await cadvisor_metrics(self._stats)).encode(), headers={"Content-Type": CONTENT_TYPE})

    async def probe_metrics(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=registry_text(self._probes), headers={"Content-Type": CONTENT_TYPE})

    async def slis(self, request: web.Request) -> web.StreamResponse:
        """Health checks as metrics (KEP-3466)."""
        lines = [
            "# HELP kubernetes_healthcheck [STABLE] This metric records the result of a single healthcheck.",
            "# TYPE kubernetes_healthcheck gauge",
        ]
        for name in CHECKS:
            passed = name != "syncloop" or self._about.healthy()
            lines.append(f'kubernetes_healthcheck{{name="{name}",type="healthz"}} {int(passed)}')
        return web.Response(body=("\n".join(lines) + "\n").encode(), headers={"Content-Type": CONTENT_TYPE})

    async def configz(self, request: web.Request) -> web.StreamResponse:
        return as_json({"kubeletconfig": dict(self._about.configz())})

    async def flagz(self, request: web.Request) -> web.StreamResponse:
        lines = [f"{name}={value}" for name, value in sorted(self._about.flags.items())]
        return web.Response(text="\n".join(["", "kubelet flagz", ZPAGE_WARNING, "", *lines, ""]))

    async def statusz(self, request: web.Request) -> web.StreamResponse:
        up_s = max(self._clock.now() - self._about.started_s, 0)
        lines = [
            f"Started: {format_time(self._about.started_s)}",
            f"Up: {int(up_s // 3600)} hr {int(up_s % 3600 // 60):02} min {int(up_s % 60):02} sec",
            f"Binary version: {self._about.version}",
            f"Emulation version: {'.'.join(self._about.version.split('.')[:2])}",
            f"Paths: {' '.join(self._paths)}",
        ]
        return web.Response(text="\n".join(["", "kubelet statusz", ZPAGE_WARNING, "", *lines, ""]))


async def set_verbosity(request: web.Request) -> web.StreamResponse:
    """``PUT /debug/flags/v``: the log level, as ``--v`` has it, from now on."""
    text = (await request.text()).strip()
    if not text.lstrip("-").isdecimal():
        return web.Response(status=400, text=f'unable to parse "{text}": not a number\n')
    logging.getLogger("steersman").setLevel(logging.DEBUG if int(text) >= 4 else logging.INFO)
    return web.Response(text=f"successfully set klog.logging.verbosity to {text}")


def _verdict(failed: bool) -> str:
    return " failed: reason withheld" if failed else " ok"


def _pod_list(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}


def as_json(document: Mapping[str, Any]) -> web.Response:
    return web.Response(body=json.dumps(document).encode(), content_type="application/json")
