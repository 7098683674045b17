"""``python -m tests.vm``: build what is not built yet, boot, run the tests, end with their exit status."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

from tests.vm.image import ROOT, repository_disk, system_image
from tests.vm.machine import EMULATED, KVM, Machine, kvm_works

SELECTION: Final = (
    "-m", "real", "--deselect=tests/kubelet/real/test_kills.py", "tests/kubelet/real", "tests/real/test_guestbook.py",
)  # fmt: skip
EMULATION_PATIENCE: Final = 10
"""How many times slower an emulated processor is than one of this machine's."""
NO_STATUS: Final = 70


def main() -> int:
    options = _options()
    cache = ROOT / "build/vm"
    image = system_image(cache)
    has_kvm = options.accelerator == "kvm" or (options.accelerator == "auto" and kvm_works(image))
    patience = options.patience or (1 if has_kvm else EMULATION_PATIENCE)
    _say(f"{'KVM' if has_kvm else 'emulated processors'}; deadlines of tests are multiplied by {patience}")
    with tempfile.TemporaryDirectory(dir=cache, prefix="run-") as name:
        directory = Path(name)
        machine = Machine(
            image=image,
            accelerator=KVM if has_kvm else EMULATED,
            cpus=options.cpus,
            memory_mib=options.memory_mib,
            directory=directory,
        )
        repository = repository_disk(directory, options.command or pytest_command(options.words, patience))
        try:
            status = machine.run(repository, within_s=options.minutes * 60)
        except subprocess.TimeoutExpired:
            _say(f"not done within {options.minutes} minutes")
            status = None
        if status is None:
            text = machine.console.read_text(errors="replace") if machine.console.exists() else ""
            _say("no exit status came out of it; its console's end:\n" + "\n".join(text.splitlines()[-30:]))
            return NO_STATUS
        return status


def pytest_command(words: Sequence[str], patience: float) -> str:
    """For the machine's shell."""
    argv = [
        "python3", "-m", "pytest", "-p", "steersman.testing.plugin", "-p", "tests.vm.patient", "--color=no", "-v", "-rs",
        *(words or SELECTION),
    ]  # fmt: skip
    return f"PYTHONPATH=src STEERSMAN_PATIENCE={patience:g} exec {shlex.join(argv)}\n"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.vm", description=__doc__)
    parser.add_argument("--accelerator", choices=("auto", "kvm", "emulated"), default="auto")
    parser.add_argument("--cpus", type=int, default=2)
    parser.add_argument("--memory-mib", type=int, default=4096)
    parser.add_argument("--minutes", type=float, default=120, help="for the whole run (default: %(default)s)")
    parser.add_argument(
        "--patience", type=float, default=0, help="factor of the tests' deadlines (default: by processor)"
    )
    parser.add_argument("--command", default="", help="run this in the machine's shell instead of pytest")
    options, words = parser.parse_known_args()
    options.words = words
    if os.geteuid() != 0:
        parser.error("building a system's disk needs root")
    return options


def _say(what: str) -> None:
    sys.stderr.write(f"vm: {what}\n")


def _stop(*_: object) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(main())
