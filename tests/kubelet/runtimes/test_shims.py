"""A process that waits for a pipe's reader goes on; it is found by the name and the address of a shim."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from steersman.kubelet.runtimes import shims
from tests.real.conftest import eventually

WAITS = """
import os, sys
held = os.open(sys.argv[1], os.O_PATH)
print("ready", flush=True)
os.close(os.open(f"/proc/self/fd/{held}", os.O_WRONLY))
print("released", flush=True)
sys.stdin.read()
"""
"""As Go's fifo package opens a pipe. It holds the path as long as the shim lives."""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A Python with the name of a shim."""
    program = tmp_path / "containerd-shim-runc-v2"
    program.symlink_to(sys.executable)
    return program


@pytest.fixture
def shim(program: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    pipe = tmp_path / "stdout"
    subprocess.run(["mkfifo", pipe], check=True)
    words = [str(program), "-c", WAITS, str(pipe), "-address", str(tmp_path / "containerd.sock")]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    eventually(lambda: Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "S")
    yield process
    process.kill()
    process.communicate()


def released(shim: subprocess.Popen[str]) -> bool:
    assert shim.stdout is not None
    return shim.stdout.readline() == "released\n"


def test_shims_are_known_by_their_address(shim: subprocess.Popen[str], tmp_path: Path) -> None:
    assert list(shims.shims(str(tmp_path / "containerd.sock"))) == [shim.pid]
    assert list(shims.shims(str(tmp_path / "other.sock"))) == []


def test_a_pipe_that_was_removed_gets_a_reader(shim: subprocess.Popen[str], tmp_path: Path) -> None:
    (tmp_path / "stdout").unlink()
    shims.release_removed(str(tmp_path / "containerd.sock"))
    assert released(shim)


def test_a_pipe_that_may_yet_be_opened_does_not(shim: subprocess.Popen[str]) -> None:
    assert shims.release(shim.pid, removed_only=True) == 0


def test_once_nobody_is_left_who_could_open_it_it_does(shim: subprocess.Popen[str]) -> None:
    assert shims.release(shim.pid, removed_only=False) == 1
    assert released(shim)


def test_a_process_that_is_gone_needs_nothing() -> None:
    assert shims.release(2**22 + 1, removed_only=False) == 0
