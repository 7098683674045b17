"""``steersman image load|list``: images from files into the nodes' containerds, with no registry."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final

from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.cluster.containerd import ContainerdConfig, ContainerdError
from steersman.cluster.containerd_remains import NAMESPACE
from steersman.cluster.oci import NAME_ANNOTATION, REF_ANNOTATION, Layout
from steersman.meta.imagereferences import parse

MANAGED_LABEL: Final = "io.cri-containerd.image"
"""Set by containerd's CRI part once it knows the image; before that no pod can use it."""
PINNED_LABEL: Final = "io.cri-containerd.pinned=pinned"
MANAGED_S: Final = 10.0
POLL_S: Final = 0.05
MAX_INDEX_BYTES: Final = 4 * 1024 * 1024


class ImageArchiveError(ContainerdError):
    """The file is no image archive that can be imported; the message says why."""


class StoredImage(Struct, frozen=True, kw_only=True):
    name: str
    digest: str
    size: str
    """As containerd prints it: ``4.1 MiB``."""


async def load(instance: ContainerdConfig, path: Path, *, clock: Clock, name: str = "") -> list[str]:
    """Import an OCI image layout (directory or tar, also gzipped) or a Docker archive; the names it now has.

    ``name`` names an image whose archive does not. Raises ``ImageArchiveError``.
    """
    with tempfile.TemporaryFile() as archive:
        names = await asyncio.to_thread(_normalized, path, archive, name)
        archive.seek(0)
        await _import(instance, archive)
    await _wait_until_managed(instance, names, clock)
    return names


async def load_layout(instance: ContainerdConfig, layout: Layout, *, clock: Clock, pinned: bool = False) -> list[str]:
    """Import an image that was made here. A ``pinned`` one is never removed to make room."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "image.tar")
        await asyncio.to_thread(layout.write, path)
        names = await load(instance, path, clock=clock)
    if pinned:
        for name in names:
            await _ctr(instance, "images", "label", name, PINNED_LABEL)
    return names


async def list_images(instance: ContainerdConfig) -> list[StoredImage]:
    """What the node has, by name; an image with several names is listed for each."""
    images = []
    for line in (await _ctr(instance, "images", "ls")).splitlines()[1:]:
        name, _, digest, number, unit, *_ = line.split()
        if not name.startswith("sha256:"):
            images.append(StoredImage(name=name, digest=digest, size=f"{number} {unit}"))
    return images


def _normalized(path: Path, target: IO[bytes], name: str) -> list[str]:
    """Write ``path`` as a tar in which every image has its whole name."""
    try:
        if path.is_dir():
            return _normalized_directory(path, target, name)
        return _normalized_tar(path, target, name)
    except FileNotFoundError as error:
        raise ImageArchiveError(f"{path}: no such file or directory") from error
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise ImageArchiveError(f"{path}: {error}") from error


def _normalized_directory(path: Path, target: IO[bytes], name: str) -> list[str]:
    if not (path / "oci-layout").exists():
        raise ImageArchiveError(f"{path}: not an OCI image layout: it has no file oci-layout")
    names: list[str] = []
    with tarfile.open(fileobj=target, mode="w") as out:
        for file in sorted(entry for entry in path.rglob("*") if entry.is_file()):
            relative = str(file.relative_to(path))
            if relative == "index.json":
                data, names = _named_index(file.read_bytes(), name)
                _add(out, relative, data)
            else:
                out.add(file, arcname=relative, recursive=False)
    return names


def _normalized_tar(path: Path, target: IO[bytes], name: str) -> list[str]:
    names: list[str] | None = None
    docker: list[str] | None = None
    with tarfile.open(path) as source, tarfile.open(fileobj=target, mode="w") as out:
        for member in source:
            member.name = member.name.removeprefix("./")
            content = source.extractfile(member) if member.isfile() else None
            if content is not None and member.name in ("index.json", "manifest.json"):
                if member.size > MAX_INDEX_BYTES:
                    raise ImageArchiveError(f"{path}: {member.name} has {member.size} bytes")
                data = content.read()
                if member.name == "index.json":
                    data, names = _named_index(data, name)
                else:
                    data, docker = _named_manifest(data, name)
                _add(out, member.name, data)
            elif member.isfile() or member.issym() or member.islnk() or member.isdir():
                out.addfile(member, content)
    if names is None and docker is None:
        raise ImageArchiveError(f"{path}: neither an OCI image layout nor a Docker archive")
    return docker or [] if names is None else names


def _named_index(data: bytes, name: str) -> tuple[bytes, list[str]]:
    """Give every image of an OCI index containerd's name annotation.

    Tools differ: containerd and buildkit write the whole name as their own annotation, podman and skopeo into the
    specification's, which others use for the tag alone.
    """
    index: dict[str, Any] = json.loads(data)
    names: list[str] = []
    for descriptor in index.get("manifests") or ():
        annotations = dict(descriptor.get("annotations") or {})
        given = annotations.get(NAME_ANNOTATION) or ""
        reference = annotations.get(REF_ANNOTATION) or ""
        if not given and ("/" in reference or ":" in reference):
            given = reference
        if not given and name:
            given = f"{name}:{reference}" if reference and ":" not in name.rpartition("/")[2] else name
        if not given:
            raise ImageArchiveError(f"image {descriptor.get('digest')} has no name in the archive; give it one")
        whole = str(parse(given))
        annotations[NAME_ANNOTATION] = whole
        descriptor["annotations"] = annotations
        names.append(whole)
    return json.dumps(index).encode(), list(dict.fromkeys(names))


def _named_manifest(data: bytes, name: str) -> tuple[bytes, list[str]]:
    """The same for ``docker save``'s manifest."""
    names: list[str] = []
    manifests = json.loads(data)
    for manifest in manifests:
        tags = manifest.get("RepoTags") or ([name] if name else [])
        if not tags:
            raise ImageArchiveError(f"image {manifest.get('Config')} has no name in the archive; give it one")
        manifest["RepoTags"] = [str(parse(tag)) for tag in tags]
        names += manifest["RepoTags"]
    return json.dumps(manifests).encode(), list(dict.fromkeys(names))


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


async def _import(instance: ContainerdConfig, archive: IO[bytes]) -> None:
    process = await asyncio.create_subprocess_exec(
        *_command(instance, "images", "import", "-"),
        stdin=archive, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, error = await process.communicate()
    if process.returncode:
        raise ImageArchiveError(f"containerd did not take the image: {error.decode(errors='replace').strip()}")


async def _wait_until_managed(instance: ContainerdConfig, names: Sequence[str], clock: Clock) -> None:
    deadline_s = clock.monotonic() + MANAGED_S
    for name in names:
        while f"{MANAGED_LABEL}=managed" not in await _ctr(instance, "images", "ls", f"name=={name}"):
            if clock.monotonic() >= deadline_s:
                raise ContainerdError(f"containerd has imported {name} but its CRI part does not see it")
            await clock.sleep(POLL_S)


async def list_containers(instance: ContainerdConfig) -> list[str]:
    """Ids of all that containerd has in its books for CRI. Raises ``ContainerdError``."""
    return (await _ctr(instance, "containers", "ls", "-q")).split()


async def _ctr(instance: ContainerdConfig, *words: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *_command(instance, *words),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, error = await process.communicate()
    if process.returncode:
        raise ContainerdError(f"ctr {' '.join(words)}: {error.decode(errors='replace').strip()}")
    return output.decode()


def _command(instance: ContainerdConfig, *words: str) -> tuple[str, ...]:
    ctr = shutil.which("ctr")
    if ctr is None:
        raise ContainerdError("ctr is not installed; it comes with containerd")
    return (ctr, "--address", str(instance.socket), "--namespace", NAMESPACE, *words)
