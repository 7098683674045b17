"""A real cluster on this machine, brought up from nothing for the tests of this directory and removed without a trace."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from steersman.cluster import cgroups
from steersman.cluster.configuration import Layout
from steersman.cluster.nodes import missing_programs
from tests.clients.kubectl import kubectls
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]
API_PORT = 26443


@dataclass(frozen=True, slots=True, kw_only=True)
class RealCluster:
    """The cluster under test as its user sees it: two commands and a kubeconfig."""

    data: Path
    kubeconfig: Path
    images: Path

    def steersman(self, verb: str, *words: str, timeout_s: float = 120, check: bool = True) -> str:
        argv = [sys.executable, "-m", "steersman.cli", *verb.split(), f"--data-dir={self.data}", *words]
        return self._run(argv, timeout_s=timeout_s, check=check)

    def kubectl(self, *words: str, stdin: str = "", timeout_s: float = 90, check: bool = True, binary: str = "") -> str:
        argv = [binary or kubectls()[0], f"--kubeconfig={self.kubeconfig}", *(_patient(word) for word in words)]
        return self._run(argv, stdin=stdin, timeout_s=timeout_s, check=check)

    def get(self, *words: str) -> Any:
        return json.loads(self.kubectl("get", *words, "-o", "json"))

    def spawn_kubectl(self, *words: str) -> subprocess.Popen[str]:
        argv = [kubectls()[0], f"--kubeconfig={self.kubeconfig}", *words]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def processes(self) -> list[int]:
        """Every process of this cluster's components, the supervisor first; containerd and pods are none of them."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().replace(b" ", b"\0").split(b"\0")
                except OSError:
                    continue
                if b"steersman.cli" in words and any(str(self.data).encode() in word for word in words):
                    found.append((b"supervise" not in words, int(entry.name)))
        return [pid for _, pid in sorted(found)]

    def _run(self, argv: list[str], *, stdin: str = "", timeout_s: float, check: bool) -> str:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_s * PATIENCE,
            check=False,
            env={**os.environ, "KUBECONFIG": str(self.kubeconfig), "PYTHONPATH": str(ROOT / "src")},
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(argv)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout


def _patient(word: str) -> str:
    """``--timeout=60s`` of a kubectl that waits itself."""
    seconds = re.fullmatch(r"--timeout=(\d+)s", word)
    return f"--timeout={int(seconds[1]) * PATIENCE:.0f}s" if seconds else word


def eventually(predicate: Callable[[], Any], timeout_s: float = 60.0) -> Any:
    """The first true value of ``predicate()``; its last ``AssertionError`` where there is none in time."""
    deadline_s = time.monotonic() + timeout_s * PATIENCE
    while True:
        failure: AssertionError | None = None
        try:
            value = predicate()
        except AssertionError as error:
            value, failure = None, error
        if value:
            return value
        if time.monotonic() > deadline_s:
            raise AssertionError(f"not so within {timeout_s:g} s") from failure
        time.sleep(0.1)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example images, as archives."""
    directory = tmp_path_factory.mktemp("images")
    subprocess.run([sys.executable, ROOT / "examples/images/build.py", directory], check=True, capture_output=True)
    return directory


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Iterator[RealCluster]:
    """A cluster of one real node with the example images in it."""
    yield from bring_up(tmp_path_factory, images)


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory: pytest.TempPathFactory, images: Path) -> Iterator[RealCluster]:
    """A cluster of two real nodes, each in a network namespace of its own, with the example images in both."""
    yield from bring_up(tmp_path_factory, images, "--nodes=2")


def bring_up(tmp_path_factory: pytest.TempPathFactory, images: Path, *words: str) -> Iterator[RealCluster]:
    """``up``, the test's turn, ``reset``; and a look at what that left behind."""
    if os.geteuid() != 0 or missing_programs():
        pytest.fail(f"tests of tier `real` need root and {', '.join(missing_programs()) or 'nothing else'}")
    directory = tmp_path_factory.mktemp("cluster")
    real = RealCluster(data=directory / "data", kubeconfig=directory / "kubeconfig", images=images)
    own = [str(real.data), str(Layout.of(real.data, is_root=True).run)]
    before = traces(own)
    try:
        real.steersman("up", f"--api-port={API_PORT}", f"--timeout={60 * PATIENCE:g}", *words)
        real.steersman("image load", *(str(path) for path in sorted(images.glob("*.tar"))))
        yield real
    finally:
        real.steersman("reset", "--yes")
    assert traces(own) - before == set(), "reset left something behind"
    assert not real.data.exists()
    assert not real.processes()


def traces(own: Sequence[str]) -> set[str]:
    """What a cluster could leave on a machine: mounts, namespaces, interfaces, tables, routes, groups, processes.

    Of processes only those count that name one of its ``own`` paths: other clusters of this machine start and end some.
    """
    found = {f"mount {line.split()[4]}" for line in Path("/proc/self/mountinfo").read_text().splitlines()}
    found |= {f"interface {path.name}" for path in Path("/sys/class/net").iterdir()}
    found |= {f"namespace {path.name}" for path in _entries(Path("/run/netns"))}
    found |= {f"run {path.name}" for path in _entries(Path("/run")) if str(path) in own}
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    found |= {f"nftables {line}" for line in tables.splitlines() if "steersman" in line}
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
    found |= {f"route {line}" for line in routes.splitlines()}
    for hierarchy in cgroups.hierarchies():
        found |= {f"cgroup {path}" for path in _entries(hierarchy) if path.is_dir() and "steersman" in path.name}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if "containerd" in command and any(path in command for path in own):
                found.add(f"process {entry.name} {command}")
    return found


def _entries(directory: Path) -> list[Path]:
    return list(directory.iterdir()) if directory.is_dir() else []
