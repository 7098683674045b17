"""A cluster of simulated nodes in a process of its own, served over TLS on loopback: what real clients are let loose on."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clients.kubectl import ROOT, Kubectl, kubectls, minor_version


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedCluster:
    directory: Path
    port: int
    pid: int

    def kubeconfig(self, user: str = "admin") -> Path:
        return self.directory / f"{user}.kubeconfig"

    @property
    def resident_bytes(self) -> int:
        """Memory of the whole cluster."""
        pages = Path(f"/proc/{self.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    @property
    def log(self) -> str:
        return (self.directory / "log").read_text()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedCluster]:
    directory = tmp_path_factory.mktemp("served")
    with (directory / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.clients.served_cluster", str(directory)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        )
    assert process.stdout is not None
    try:
        port = process.stdout.readline()
        assert port, (directory / "log").read_text()
        yield ServedCluster(directory=directory, port=int(port), pid=process.pid)
        assert process.poll() is None, (directory / "log").read_text()
        assert "Traceback" not in (directory / "log").read_text()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(
    scope="module", params=kubectls() or ["kubectl"], ids=lambda path: Path(path).parents[2].name or "kubectl"
)
def kubectl_binary(request: pytest.FixtureRequest) -> str:
    if not kubectls():
        pytest.fail("no kubectl is installed; tools/debian-kubectl unpacks one")
    return str(request.param)


@pytest.fixture(scope="module")
def admin(served: ServedCluster, kubectl_binary: str, tmp_path_factory: pytest.TempPathFactory) -> Kubectl:
    """An administrator's kubectl, in the namespace ``default``."""
    return Kubectl(
        binary=kubectl_binary,
        minor=minor_version(kubectl_binary),
        home=tmp_path_factory.mktemp("home"),
        kubeconfig=served.kubeconfig(),
    )


@pytest.fixture
def kubectl(admin: Kubectl) -> Iterator[Kubectl]:
    """An administrator's kubectl, in a namespace of the test's own."""
    namespace = f"test-{uuid.uuid4().hex[:8]}"
    admin("create", "namespace", namespace)
    yield admin.within(namespace)
    admin("delete", "namespace", namespace, "--wait=false")
