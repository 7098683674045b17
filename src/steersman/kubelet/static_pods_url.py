"""Static pods from a URL (``staticPodURL``): fetched every so often, a Pod or a PodList."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

import aiohttp
from multidict import CIMultiDict

from steersman.aio.clock import Clock
from steersman.kubelet.static_manifests import ManifestError, static_pods
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.times import format_micro_time

TIMEOUT_S: Final = 10.0
LIMIT_BYTES: Final = 10 * 1024 * 1024
LOUD_FAILURES: Final = 3
"""So many failures in a row are warnings; after that they are only worth a debug line."""
log = logging.getLogger(__name__)


class FetchError(Exception):
    """The server did not give what a kubelet could use; what it gave before stays in force."""


class StaticPodURL:
    """``changed`` is given all pods by uid whenever they may differ from before."""

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, tuple[str, ...]],
        node_name: str,
        clock: Clock,
        check_s: float,
        changed: Callable[[Mapping[str, Object]], None],
    ) -> None:
        self._url = url
        self._headers = headers
        self._node_name = node_name
        self._clock = clock
        self._check_s = check_s
        self._changed = changed
        self._last = b""
        self._failures = 0

    async def run(self) -> None:
        """Until cancelled."""
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            while True:
                try:
                    await self._check(session)
                    if self._failures:
                        log.info("pods from %s are read again", self._url)
                    self._failures = 0
                except (FetchError, ManifestError, aiohttp.ClientError, TimeoutError, UnicodeDecodeError) as error:
                    level = logging.WARNING if self._failures < LOUD_FAILURES else logging.DEBUG
                    log.log(level, "pods from %s: %s", self._url, error)
                    self._failures += 1
                await self._clock.sleep(self._check_s)

    async def _check(self, session: aiohttp.ClientSession) -> None:
        content = await self._fetch(session)
        if not content:
            self._last = b""
            self._changed({})
            raise FetchError(f"zero-length data received from {self._url}")
        if content == self._last:
            return
        self._last = content
        pods = static_pods(
            content.decode(),
            origin=self._url,
            node_name=self._node_name,
            seen=format_micro_time(self._clock.now()),
        )
        self._changed({objects.uid(pod): pod for pod in pods})

    async def _fetch(self, session: aiohttp.ClientSession) -> bytes:
        headers = CIMultiDict([(name, value) for name, values in self._headers.items() for value in values])
        async with session.get(self._url, headers=headers) as response:
            if response.status != 200:
                raise FetchError(f"{response.status} {response.reason}")
            chunks, size = [], 0
            async for chunk in response.content.iter_any():
                size += len(chunk)
                if size > LIMIT_BYTES:
                    raise FetchError(f"more than {LIMIT_BYTES} bytes")
                chunks.append(chunk)
        return b"".join(chunks)
