"""What the kubelet demands of the machine before it starts, and what it sets for its own process.

Upstream refuses to run with swap or with cgroup v1 unless told otherwise. It also writes its favourite kernel settings
over the machine's; we only compare, where ``protectKernelDefaults`` asks for it.
"""

from __future__ import annotations

import logging
import os
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from steersman.kubelet.configuration import ConfigurationError

KERNEL_DEFAULTS: Final[Mapping[str, str]] = {
    "kernel/keys/root_maxbytes": "25000000",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
}
log = logging.getLogger(__name__)


def check_host(document: Mapping[str, Any], *, cgroup_v2: bool, proc: Path = Path("/proc")) -> None:
    """Raises ``ConfigurationError`` where ``document``, completed, does not go with this machine."""
    problems = []
    if document["failCgroupV1"] and not cgroup_v2:
        problems.append(
            "kubelet is configured to not run on a host using cgroup v1. cgroup v1 support is unsupported and will be"
            " removed in a future release (--fail-cgroupv1=false runs on it all the same)"
        )
    if not cgroup_v2 and document.get("singleProcessOOMKill") is False:
        problems.append(
            "invalid configuration: singleProcessOOMKill must not be explicitly set to false when using cgroup v1"
        )
    if not cgroup_v2 and document["memorySwap"].get("swapBehavior") == "LimitedSwap":
        problems.append("swap feature is enabled and LimitedSwap but it is only supported with cgroupv2")
    if document["failSwapOn"] and (swaps := _swaps(proc)):
        problems.append(
            "running with swap on is not supported, please disable swap or set --fail-swap-on flag to false:"
            f" {', '.join(swaps)}"
        )
    if document["protectKernelDefaults"]:
        problems += _kernel_problems(proc)
    if problems:
        raise ConfigurationError("; ".join(problems))


def apply_to_process(document: Mapping[str, Any], *, proc: Path = Path("/proc")) -> None:
    """OOM score and number of open files, as upstream: what the machine refuses is logged."""
    try:
        (proc / "self/oom_score_adj").write_text(str(document["oomScoreAdj"]))
    except OSError as error:
        log.warning("cannot set oom_score_adj to %s: %s", document["oomScoreAdj"], error)
    wanted = int(document["maxOpenFiles"])
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (OSError, ValueError) as error:
        log.info("cannot open %d files at a time: %s; %d it is", wanted, error, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


def enter_cgroup(path: str, mounts: Mapping[str, Path]) -> None:
    """Move this process into ``kubeletCgroups``. ``mounts``: the cgroup hierarchies by name. Raises ``OSError``."""
    for mount in mounts.values():
        folder = mount / path.strip("/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.procs").write_text(str(os.getpid()))


def _swaps(proc: Path) -> list[str]:
    try:
        lines = (proc / "swaps").read_text().splitlines()[1:]
    except FileNotFoundError:
        return []
    return [line.split()[0] for line in lines if line.strip()]


def _kernel_problems(proc: Path) -> list[str]:
    found = []
    for name, wanted in KERNEL_DEFAULTS.items():
        try:
            actual = (proc / "sys" / name).read_text().strip()
        except OSError as error:
            found.append(f"cannot read {name}: {error}")
            continue
        if actual != wanted:
            found.append(f"invalid kernel flag: {name}, expected value: {wanted}, actual value: {actual}")
    return found
