"""The pause program: an executable of a few system calls that reaps and ends."""

from __future__ import annotations

import os
import platform
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from steersman.cluster import pause

RT_SIGTIMEDWAIT = {"x86_64": 128, "aarch64": 137}


def native() -> bytes:
    programs = {"x86_64": pause.amd64, "aarch64": pause.arm64}
    return programs[platform.machine()]()


@pytest.fixture
def program(tmp_path: Path) -> Path:
    file = tmp_path / "pause"
    file.write_bytes(native())
    file.chmod(0o755)
    return file


@pytest.fixture
def running(program: Path) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([program])
    yield process
    process.kill()
    process.wait()


def wait_for(condition: object, timeout_s: float = 10.0) -> bool:
    assert callable(condition)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.01)
    return False


@pytest.mark.parametrize(("build", "machine"), [(pause.amd64, 62), (pause.arm64, 183)])
def test_it_is_a_static_executable_of_one_segment(build: object, machine: int) -> None:
    assert callable(build)
    data: bytes = build()
    assert data[:4] == b"\x7fELF"
    kind, found_machine = struct.unpack_from("<HH", data, 16)
    assert (kind, found_machine) == (2, machine)
    entry, headers = struct.unpack_from("<QQ", data, 24)
    segment, flags, offset, address, _, size, memory, align = struct.unpack_from("<IIQQQQQQ", data, headers)
    assert (segment, flags, offset, size, memory) == (1, 5, 0, len(data), len(data))
    assert address <= entry < address + size and address % align == 0
    assert len(data) < 512


def test_every_arm64_branch_stays_inside_the_program() -> None:
    code = pause.arm64()[0xB0:-8]
    words = struct.unpack(f"<{len(code) // 4}I", code)
    targets = []
    for position, word in enumerate(words):
        if word >> 24 == 0x54:
            targets.append(position + _signed(word >> 5 & 0x7FFFF, 19))
        elif word >> 26 == 0x05:
            targets.append(position + _signed(word & 0x3FFFFFF, 26))
    assert len(targets) == 6
    assert all(0 <= target < len(words) for target in targets)
    calls = [word >> 5 & 0xFFFF for word in words if word >> 23 == 0x1A5 and word & 31 == 8]  # movz x8, #number
    assert calls == [135, 137, 260, 93]  # rt_sigprocmask, rt_sigtimedwait, wait4, exit


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_with_success_on_a_signal(running: subprocess.Popen[bytes], number: signal.Signals) -> None:
    waiting = f"{RT_SIGTIMEDWAIT[platform.machine()]} "
    assert wait_for(lambda: Path(f"/proc/{running.pid}/syscall").read_text().startswith(waiting))
    running.send_signal(number)
    assert running.wait(10) == 0


@pytest.mark.real
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_as_process_1_it_reaps_orphans_and_ends(program: Path, tmp_path: Path) -> None:
    """A shell in a new process namespace leaves orphans behind and becomes the program, which is then process 1."""
    script = f"for i in 1 2 3; do (sleep 0.$i & sleep 0.05 &) ; done; (sleep 60 &); exec {program}"
    outer = subprocess.Popen(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script])
    try:
        inner = _only_child(outer.pid)
        assert wait_for(lambda: Path(f"/proc/{inner}/cmdline").read_text().startswith(str(program)))
        children = Path(f"/proc/{inner}/task/{inner}/children")
        assert wait_for(lambda: len(children.read_text().split()) == 1), "orphans were not reaped"
        os.kill(inner, signal.SIGTERM)
        assert outer.wait(10) == 0
    finally:
        outer.kill()
        outer.wait()


def _only_child(pid: int) -> int:
    children = Path(f"/proc/{pid}/task/{pid}/children")
    assert wait_for(lambda: children.read_text().split())
    return int(children.read_text().split()[0])
