"""Without real nodes: the same control plane, simulated nodes that pods land on, and one clear line that says so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from steersman.aio.clock import FakeClock
from steersman.cluster.configuration import Layout
from steersman.cluster.local import LocalCluster, Wanted
from tests.real.conftest import ROOT, RealCluster, eventually

pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]


def test_up_with_simulated_nodes_only(tmp_path: Path) -> None:
    cluster = RealCluster(data=tmp_path / "data", kubeconfig=tmp_path / "kubeconfig", images=tmp_path)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "steersman.cli", "up", f"--data-dir={cluster.data}", "--nodes=0", "--simulated-nodes=3",
             "--api-port=26447"],
            env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "PYTHONPATH": str(ROOT / "src")},
            capture_output=True, text=True, check=True, timeout=60,
        )  # fmt: skip
        assert "Nodes are simulated, no containers run: none was asked for." in done.stderr
        assert "3 simulated nodes" in done.stdout
        cluster.kubectl("create", "deployment", "web", "--image=registry.example/web:1", "--replicas=5")
        cluster.kubectl("rollout", "status", "deployment/web", "--timeout=30s")
        used = {pod["spec"]["nodeName"] for pod in cluster.get("pods", "-l", "app=web")["items"]}
        assert used <= {"simulated-0", "simulated-1", "simulated-2"}

        cluster.steersman("up")
        assert json.loads(cluster.steersman("status", "-o", "json"))["running"]
        assert len(cluster.get("nodes")["items"]) == 3
        eventually(lambda: len(cluster.get("pods", "-l", "app=web")["items"]) == 5)
    finally:
        cluster.steersman("reset", "--yes")
    assert not cluster.processes()
    assert not cluster.data.exists()


def test_up_says_what_was_not_ready_in_the_time_given(tmp_path: Path) -> None:
    cluster = RealCluster(data=tmp_path / "data", kubeconfig=tmp_path / "kubeconfig", images=tmp_path)
    try:
        with pytest.raises(AssertionError, match=r"apiserver is not ready after 0\.001 s; see .*apiserver\.log"):
            cluster.steersman("up", "--nodes=0", "--api-port=26448", "--timeout=0.001")
    finally:
        cluster.steersman("reset", "--yes")
    assert not cluster.processes()


class Notes:
    """Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


@pytest.mark.parametrize(
    ("user", "missing", "line"),
    [
        (1000, [], "Nodes are simulated, no containers run: real ones need root."),
        (
            0,
            ["containerd"],
            "Nodes are simulated, no containers run: real ones need containerd (see `tools/host-tools node`).",
        ),
    ],
)
def test_what_is_missing_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, user: int, missing: list[str], line: str
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setattr("steersman.cluster.nodes.missing_programs", lambda: missing)
    notes = Notes()
    layout = Layout.of(tmp_path, is_root=user == 0)
    cluster = LocalCluster(layout, clock=FakeClock(), progress=notes, environment={})  # type: ignore[arg-type]
    config = cluster._decide(Wanted())
    assert notes.lines == [line]
    assert not config.nodes
    assert config.simulated_nodes == 1
