"""A real cluster of one node on this machine (root): to Ready, memory and idle CPU of all components together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

IDLE_S = 20.0
SETTLE_S = 5.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def run() -> dict[str, float]:
    if os.geteuid() != 0:
        print("bench: up needs root; skipped")
        return {}
    with tempfile.TemporaryDirectory() as directory:
        data = Path(directory, "data")
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"KUBECONFIG": str(Path(directory, "kubeconfig")), "PYTHONPYCACHEPREFIX": f"{directory}/pycache"}

        def steersman(*words: str) -> str:
            argv = [sys.executable, "-m", "steersman.cli", words[0], f"--data-dir={data}", *words[1:]]
            return subprocess.run(argv, check=True, env=environment, capture_output=True, text=True).stdout

        try:
            steersman(
                "up", "--api-port=26444"
            )  # Python keeps the compiled modules, as it does once the package is installed
            steersman("reset", "--yes")
            began_s = time.perf_counter()
            steersman("up", "--api-port=26444")
            ready_s = time.perf_counter() - began_s
            began_s = time.perf_counter()
            steersman("up")
            again_s = time.perf_counter() - began_s
            time.sleep(SETTLE_S)
            state: dict[str, Any] = json.loads(steersman("status", "-o", "json"))
            supervisor = _supervisor(data)
            pids = sorted({program["pid"] for program in state["programs"]} | {supervisor} | _children(supervisor))
            before = sum(map(_cpu_s, pids))
            time.sleep(IDLE_S)
            idle = (sum(map(_cpu_s, pids)) - before) / IDLE_S * 100
            resident = {pid: _resident_mb(pid) for pid in pids}
        finally:
            steersman("reset", "--yes")
    return {
        "up/one_node/ready_s": ready_s,
        "up/one_node/again_s": again_s,
        "up/one_node/processes": len(pids),
        "up/one_node/resident_mb": sum(resident.values()),
        "up/one_node/idle_cpu_percent": idle,
    }


def _supervisor(data: Path) -> int:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            words = Path(entry, "cmdline").read_bytes().split(b"\0") if Path(entry, "cmdline").exists() else []
            if b"supervise" in words and f"--data-dir={data}".encode() in words:
                return int(entry.name)
    raise RuntimeError("the supervisor does not run")


def _children(pid: int) -> set[int]:
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _resident_mb(pid: int) -> float:
    """Proportional: pages that several of the processes share (libraries) count once for all of them together."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("the kernel does not tell the proportional set size")
