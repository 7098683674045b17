"""``POST /checkpoint/{namespace}/{pod}/{container}``: the state of a running container, written to a file by the runtime.

Source: "Kubelet Checkpoint API" in the documentation; the answers to what cannot be done are upstream's, by which its
clients tell a runtime without checkpoints from one that failed.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.kubelet import podspec
from steersman.kubelet.runtimes.api import RuntimeService, RuntimeServiceError
from steersman.kubelet.server_api import PodLookup
from steersman.meta import times
from steersman.meta.errors import APIError, BadRequest, InternalError, NotFound

DEFAULT_TIMEOUT_S: Final = 120
"""The runtime's for any request; a shorter one that is asked for is this one too."""
_is_integer = re.compile(r"[+-]?[0-9]+", re.ASCII).fullmatch


class Checkpoints(Struct, frozen=True, kw_only=True):
    pods: PodLookup
    runtime: RuntimeService
    directory: Path
    clock: Clock

    async def make(self, where: Mapping[str, str], timeouts: list[str]) -> dict[str, Any]:
        """``where``: namespace, pod and container; the last of ``timeouts`` counts, in seconds. Raises ``NotFound`` and
        ``InternalError``."""
        namespace, name, container = where["namespace"], where["pod"], where["container"]
        pod = self.pods.find_pod(namespace, name)
        if pod is None:
            raise NotFound("pod does not exist")
        if podspec.find_container(pod, container) is None:
            raise NotFound(f"container {container} does not exist")
        if timeouts and not _is_integer(timeouts[-1]):
            raise NotFound("cannot parse value of timeout parameter")
        timeout_s = int(timeouts[-1]) if timeouts else 0
        stamp = times.format_time(self.clock.now())
        location = self.directory / f"checkpoint-{name}_{namespace}-{container}-{stamp}.tar"
        try:
            await self._make(where, location, timeout_s)
        except (RuntimeServiceError, APIError, OSError, ValueError) as error:
            raise InternalError(f"checkpointing of {namespace}/{name}/{container} failed ({error})") from error
        return {"items": [str(location)]}

    async def _make(self, where: Mapping[str, str], location: Path, timeout_s: int) -> None:
        try:
            found = await self.pods.find_container(where["namespace"], where["pod"], where["container"])
        except (BadRequest, NotFound) as error:
            raise ValueError(f"container {where['container']} not found") from error
        if timeout_s < 0:
            raise ValueError("CheckpointContainer requires the timeout value to be > 0")
        await asyncio.to_thread(self.directory.mkdir, mode=0o700, parents=True, exist_ok=True)
        await self.runtime.checkpoint_container(
            found.container_id, location=str(location), timeout_s=max(timeout_s, DEFAULT_TIMEOUT_S)
        )
