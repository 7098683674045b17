"""Debian's ``docker-registry`` on the loopback interface, and images pushed to it."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import shutil
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml

from steersman.cluster.oci import MANIFEST, ImageBuild, ImageConfig, Layout
from steersman.cluster.rootfs import architecture, base, busybox

USER, PASSWORD = "tester", "open sesame"
HTPASSWD = f"{USER}:$2b$06$bAABoBT0AhhPoMt7eL9IkuC9YSqsrs.WfHjs7nBZDhraThsKlx5e.\n"
"""``PASSWORD`` by bcrypt, the only kind the registry takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    host: str
    """``127.0.0.1:…``: containerd speaks plain HTTP to the loopback interface by itself."""
    headers: Mapping[str, str]
    """That let a client push."""

    async def push(self, repository: str, tag: str, *, version: str) -> str:
        """An image of busybox whose containers have ``VERSION`` in their environment. Returns its name."""
        config = ImageConfig(architecture=architecture(), command=("sh",), env=("PATH=/bin", f"VERSION={version}"))
        name = f"{self.host}/{repository}:{tag}"
        layout = Layout()
        digest = layout.add(ImageBuild(names=(name,), platforms=((config, ([*base(), *busybox()],)),)))
        blobs = {path.removeprefix("blobs/"): data for path, data in layout.files().items() if path.startswith("blobs")}
        manifest = blobs[digest.replace(":", "/")]
        async with aiohttp.ClientSession(f"http://{self.host}", headers=self.headers, raise_for_status=True) as session:
            document = json.loads(manifest)
            for blob in (document["config"], *document["layers"]):
                await self._upload(session, repository, blob["digest"], blobs)
            where = f"/v2/{repository}/manifests/{tag}"
            await session.put(where, data=manifest, headers={"Content-Type": MANIFEST})
        return name

    async def _upload(
        self, session: aiohttp.ClientSession, repository: str, digest: str, blobs: Mapping[str, bytes]
    ) -> None:
        async with session.post(f"/v2/{repository}/blobs/uploads/") as begun:
            location = begun.headers["Location"]
        data, kind = blobs[digest.replace(":", "/")], {"Content-Type": "application/octet-stream"}
        await session.put(f"{location}&digest={digest}", data=io.BytesIO(data), headers=kind)


def missing() -> str:
    """Why this machine has no registry; empty when it has."""
    return "" if shutil.which("docker-registry") else "not installed: docker-registry"


@asynccontextmanager
async def registry(directory: Path, *, authenticated: bool = False) -> AsyncIterator[Registry]:
    """A running one; ``authenticated``: for ``USER`` with ``PASSWORD`` only."""
    host = await asyncio.to_thread(_configure, directory, authenticated)
    log = directory / "log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            "docker-registry", "serve", str(directory / "config.yml"), stdout=output, stderr=output
        )
    try:
        await _answers(host, log)
        basic = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        yield Registry(host=host, headers={"Authorization": f"Basic {basic}"} if authenticated else {})
    finally:
        process.terminate()
        await process.wait()


def _configure(directory: Path, authenticated: bool) -> str:
    """The address that the configuration names."""
    directory.mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{probe.getsockname()[1]}"
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "warn"},
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
        "http": {"addr": host},
    }
    if authenticated:
        (directory / "htpasswd").write_text(HTPASSWD)
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(directory / "htpasswd")}}
    (directory / "config.yml").write_text(yaml.safe_dump(config))
    return host


async def _answers(host: str, log: Path) -> None:
    async with asyncio.timeout(20), aiohttp.ClientSession() as session:
        while True:
            try:
                async with session.get(f"http://{host}/v2/") as answer:
                    assert answer.status in (200, 401), f"see {log}"
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
