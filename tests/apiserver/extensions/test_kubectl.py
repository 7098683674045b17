"""kubectl defines a kind and uses it at once."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from steersman.aio.clock import SystemClock
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.store.drivers.memory import MemoryStore

KUBECTL = [path for path in (shutil.which("kubectl"), *os.environ.get("KUBECTLS", "").split(":")) if path]

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not KUBECTL, reason="kubectl is not installed"),
    pytest.mark.parametrize("kubectl", KUBECTL),
]

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            description: What is wanted.
            type: object
            required: [cronSpec]
            properties:
              cronSpec: {type: string, pattern: '^[0-9* /]+$', description: When.}
              replicas: {type: integer, maximum: 10, default: 1}
    additionalPrinterColumns: [{name: Spec, type: string, jsonPath: .spec.cronSpec}]
    subresources: {scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}}
"""


def crontab(name: str, spec: str) -> str:
    return f"apiVersion: stable.example.com/v1\nkind: CronTab\nmetadata: {{name: {name}}}\nspec: {spec}\n"


class Kubectl:
    """Runs a kubectl against one server."""

    def __init__(self, path: str, port: int, home: Path) -> None:
        self._words = (path, f"--server=http://127.0.0.1:{port}", f"--cache-dir={home}")
        self._env = {"HOME": str(home), "PATH": os.environ["PATH"]}

    async def __call__(self, *words: str, stdin: str = "") -> str:
        """Its output; that of a failure begins with ``failed:``."""
        process = await asyncio.create_subprocess_exec(
            *self._words, *words, env=self._env,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(60):
            stdout, stderr = await process.communicate(stdin.encode())
        return stdout.decode() if not process.returncode else f"failed: {stderr.decode()}"


@pytest.fixture
async def run(kubectl: str, tmp_path: Path) -> AsyncIterator[Kubectl]:
    clock = SystemClock()
    config = APIServerConfig(authorization_modes=("AlwaysAllow",), disabled_admission_plugins=("ServiceAccount",))
    server = APIServer(store=MemoryStore(clock=clock), clock=clock, config=config, rng=random.Random(7))
    await server.start()
    port = await server.serve("127.0.0.1", 0, tls=None)
    yield Kubectl(kubectl, port, tmp_path)
    await server.close()


async def test_a_kind_is_used_as_soon_as_it_is_defined(run: Kubectl) -> None:
    assert "created" in await run("apply", "-f", "-", stdin=CRD)
    assert "crontab.stable.example.com/a created" in await run(
        "apply", "-f", "-", stdin=crontab("a", '{cronSpec: "* * *"}')
    )
    header, row = (await run("get", "ct")).splitlines()
    assert (header.split(), row.split()[0]) == (["NAME", "SPEC"], "a")
    assert "crontab.stable.example.com/a" in await run("get", "all")
    assert "Cron Spec:  * * *" in await run("describe", "ct", "a")
    explained = await run("explain", "crontab.spec")
    assert "What is wanted." in explained
    assert "cronSpec\t<string> -required-" in explained
    assert "scaled" in await run("scale", "crontab/a", "--replicas=3")
    assert await run("get", "ct", "a", "-o", "jsonpath={.spec.replicas}") == "3"
    assert "condition met" in await run("wait", "--for=condition=established", "crd/crontabs.stable.example.com")
    assert "deleted" in await run("delete", "crd", "crontabs.stable.example.com")
    assert "the server could not find the requested resource" in await run("get", "ct") or "doesn't have" in await run(
        "get", "ct"
    )


async def test_what_is_wrong_is_told(run: Kubectl) -> None:
    await run("apply", "-f", "-", stdin=CRD)
    unknown = await run("apply", "-f", "-", stdin=crontab("b", '{cronSpec: "1", foo: 1}'))
    assert 'strict decoding error: unknown field "spec.foo"' in unknown
    bad = await run("apply", "--validate=false", "-f", "-", stdin=crontab("b", "{cronSpec: x, replicas: 11}"))
    assert "spec.cronSpec in body should match '^[0-9* /]+$'" in bad
    assert "spec.replicas in body should be less than or equal to 10" in bad


async def test_server_side_apply(run: Kubectl) -> None:
    await run("apply", "-f", "-", stdin=CRD)
    words = ("apply", "--server-side", "-f", "-")
    assert "serverside-applied" in await run(*words, stdin=crontab("c", '{cronSpec: "1"}'))
    conflict = await run(*words, "--field-manager=other", stdin=crontab("c", '{cronSpec: "2"}'))
    assert "conflict with" in conflict
    assert ".spec.cronSpec" in conflict
