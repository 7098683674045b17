"""Forgetting UDP flows whose endpoint is gone: the kernel would send them to the dead address as long as they go on.

TCP ends by itself. Source: the same rule in upstream's kube-proxy.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Iterable, Mapping

from msgspec import Struct

from steersman.proxy.rules import Frontend, Target

log = logging.getLogger(__name__)


class StaleFlow(Struct, frozen=True, kw_only=True):
    """Flows to a frontend: those that were sent to ``endpoint``; all of them where that is empty."""

    frontend: Frontend
    endpoint: str = ""

    @property
    def arguments(self) -> tuple[str, ...]:
        """For ``conntrack -D``."""
        frontend = self.frontend
        words = ["-f", "ipv6"] if frontend.version == 6 else ["-f", "ipv4"]
        words += ["-p", "udp", "--orig-port-dst", str(frontend.port)]
        if frontend.address:
            words += ["--orig-dst", frontend.address]
        if self.endpoint:
            words += ["--reply-src", self.endpoint]
        return tuple(words)


def stale_flows(old: Mapping[Frontend, Target], changes: Mapping[Frontend, Target | None]) -> list[StaleFlow]:
    """Which UDP flows no longer go where ``changes`` would send them.

    A frontend that had no endpoints and now has some may have flows that were never translated; they go too.
    """
    stale: list[StaleFlow] = []
    for frontend, target in changes.items():
        if frontend.protocol != "udp":
            continue
        before = old.get(frontend)
        now = {endpoint.address for endpoint in target.endpoints} if target else set()
        if now and (before is None or not before.endpoints):
            stale.append(StaleFlow(frontend=frontend))
        elif before is not None:
            gone = {endpoint.address for endpoint in before.endpoints} - now
            stale += [StaleFlow(frontend=frontend, endpoint=address) for address in sorted(gone)]
    return stale


async def forget(flows: Iterable[StaleFlow]) -> None:
    """Delete the flows from the kernel's table. Without the ``conntrack`` tool they stay, and a warning says so."""
    listed = [*flows]
    if not listed:
        return
    if shutil.which("conntrack") is None:
        log.warning("conntrack is not installed: %d UDP flows keep their old endpoint", len(listed))
        return
    for flow in listed:
        process = await asyncio.create_subprocess_exec(
            "conntrack", "-D", *flow.arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        # Exit code 1 says that no flow matched.
        await process.wait()
