"""One run of the virtual machine: no network, disks that forget, three serial ports."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.vm.image import SERVICE, Image

KVM: Final = ("-accel", "kvm", "-cpu", "host")
EMULATED: Final = ("-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max")
PROBE_S: Final = 20
SWAP_BYTES: Final = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    image: Image
    accelerator: tuple[str, ...]
    cpus: int
    memory_mib: int
    directory: Path
    """For this run's files, and its own."""

    @property
    def console(self) -> Path:
        """What kernel and systemd say."""
        return self.directory / "console"

    def run(self, repository: Path, *, within_s: float) -> int | None:
        """The command's exit status, its output on ours; None where the machine ended without one.

        Raises ``subprocess.TimeoutExpired``; the machine is gone then.
        """
        swap, status = self.directory / "swap", self.directory / "status"
        with swap.open("wb") as file:
            file.truncate(SWAP_BYTES)
        words = [
            *_machine(self.accelerator, self.memory_mib), "-smp", str(self.cpus), "-device", "virtio-rng-pci",
            "-kernel", str(self.image.kernel), "-initrd", str(self.image.initrd),
            "-append", f"root=/dev/vda rw console=ttyS0 panic=-1 security=apparmor systemd.show_status=0 systemd.unit={SERVICE}",
            *(word for disk in (self.image.disk, repository, swap) for word in ("-drive", _drive(disk))),
            "-serial", f"file:{self.console}", "-serial", "stdio", "-serial", f"file:{status}",
        ]  # fmt: skip
        subprocess.run(words, stdin=subprocess.DEVNULL, check=False, timeout=within_s, env=self._environment())
        text = status.read_text().strip() if status.exists() else ""
        return int(text) if text else None

    def _environment(self) -> dict[str, str]:
        """What the guest writes to its disks goes to a nameless file there."""
        return {**os.environ, "TMPDIR": str(self.directory)}


def kvm_works(image: Image) -> bool:
    """Whether a kernel starts under it, which /dev/kvm alone does not say: some hosts run prepared guests only."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    words = [*_machine(KVM, 512), "-kernel", str(image.kernel), "-append", "console=ttyS0 panic=-1", "-serial", "stdio"]
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=PROBE_S)
    except subprocess.TimeoutExpired:
        return False
    return b"Kernel panic - not syncing: VFS" in done.stdout


def _machine(accelerator: tuple[str, ...], memory_mib: int) -> list[str]:
    return [
        "qemu-system-x86_64", "-machine", "q35", *accelerator, "-m", str(memory_mib),
        "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
    ]  # fmt: skip


def _drive(disk: Path) -> str:
    return f"file={disk},format=raw,if=virtio,snapshot=on,cache=unsafe"
