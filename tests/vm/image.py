"""The disks of the virtual machine: Debian with all that the tests need, and the repository as it is now."""

from __future__ import annotations

import hashlib
import inspect
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SUITE: Final = "bookworm"
PYTHON: Final = "3.11"
"""The version in ``SUITE``; its ``dist-packages`` take the locked dependencies."""
SYSTEM: Final = (
    "linux-image-cloud-amd64", "systemd-sysv", "dbus", "udev", "kmod", "apparmor", "procps", "python3", "kubernetes-client",
)  # fmt: skip
"""What a machine has that the tests do not ask for by name; the rest is what ``tools/host-tools`` would install."""
GLIBCS: Final = ("2_36", "2_35", "2_34", "2_31", "2_28", "2_27", "2_26", "2_24", "2_17", "2_12", "2_5")
"""Wheels built for any of these run on ``SUITE``."""
COPIED: Final = ("src", "tests", "examples", "tools", "pyproject.toml")
SERVICE: Final = "steersman-tests.service"


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A system that boots. Its disk is never written to."""

    disk: Path
    kernel: Path
    initrd: Path


def system_image(cache: Path) -> Image:
    """From ``cache`` if one with the same contents was built before. Needs root and Debian's package archive."""
    lock = ROOT / "requirements/dev.lock"
    wanted = packages()
    service = Path(__file__).with_name(SERVICE)
    recipe = "\0".join((*wanted, SUITE, lock.read_text(), service.read_text(), inspect.getsource(_build)))
    folder = cache / hashlib.sha256(recipe.encode()).hexdigest()[:16]
    if not folder.is_dir():
        shutil.rmtree(cache, ignore_errors=True)
        building = cache / "building"
        building.mkdir(parents=True)
        try:
            _build(building, wanted, lock, service)
            building.rename(folder)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
    return Image(disk=folder / "disk", kernel=folder / "vmlinuz", initrd=folder / "initrd")


def repository_disk(directory: Path, command: str) -> Path:
    """The working tree as it is, and the ``command`` that the machine is to run in it."""
    tree, disk = directory / "tree", directory / "repository"
    tree.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, symlinks=True)
        else:
            shutil.copy2(ROOT / name, tree / name)
    (tree / "vm-command").write_text(command)
    _make_disk(disk, tree, size="1G")
    shutil.rmtree(tree)
    return disk


def packages() -> tuple[str, ...]:
    listed = subprocess.run(
        [ROOT / "tools/host-tools", "--list", "node", "test"], check=True, capture_output=True, text=True
    )
    return (*SYSTEM, *listed.stdout.split())


def _build(folder: Path, packages: Sequence[str], lock: Path, service: Path) -> None:
    root = folder / "root"
    _say(f"Debian {SUITE} with {len(packages)} packages and what they depend on")
    _run("mmdebstrap", "--quiet", "--mode=root", "--variant=apt", f"--include={','.join(packages)}", SUITE, root)
    _say("the locked dependencies")
    _run(
        sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--require-hashes", "--no-deps",
        "--only-binary=:all:", f"--python-version={PYTHON}",
        *(f"--platform=manylinux_{version}_x86_64" for version in GLIBCS),
        "--platform=manylinux2014_x86_64", f"--target={root}/usr/local/lib/python{PYTHON}/dist-packages", "-r", lock,
    )  # fmt: skip
    shutil.copy2(service, root / "etc/systemd/system" / SERVICE)
    (root / "etc/fstab").write_text("/dev/vdb /steersman ext4 defaults 0 0\n")
    (root / "etc/hostname").write_text("steersman-vm\n")
    (root / "steersman").mkdir()
    for kind, name in (("vmlinuz", "vmlinuz"), ("initrd.img", "initrd")):
        shutil.copy2(next((root / "boot").glob(f"{kind}-*")), folder / name)
    _say("its disk")
    _make_disk(folder / "disk", root, size="8G")
    shutil.rmtree(root)


def _make_disk(disk: Path, tree: Path, *, size: str) -> None:
    """A sparse file. Without a journal: nobody wants its contents after a crash."""
    _run("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d", tree, disk, size)


def _run(*words: str | Path) -> None:
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)


def _say(what: str) -> None:
    sys.stderr.write(f"vm: building {what}\n")
