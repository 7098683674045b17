"""Container images without a builder: layers, configuration, manifest and index of an OCI image layout.

What is written depends on the input only: the same files give the same digests, whoever builds them and when.
Source: the OCI image specification 1.0 (image-layout, manifest, config).
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, field

from steersman.meta.imagereferences import parse

LAYOUT_VERSION: Final = "1.0.0"
INDEX: Final = "application/vnd.oci.image.index.v1+json"
MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
CONFIG: Final = "application/vnd.oci.image.config.v1+json"
LAYER: Final = "application/vnd.oci.image.layer.v1.tar"
NAME_ANNOTATION: Final = "io.containerd.image.name"
"""containerd's: the whole reference that an image is imported as."""
REF_ANNOTATION: Final = "org.opencontainers.image.ref.name"
EPOCH: Final = "1970-01-01T00:00:00Z"


class File(Struct, frozen=True, kw_only=True):
    """A regular file of a layer."""

    path: str
    data: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


class Directory(Struct, frozen=True, kw_only=True):
    path: str
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


class Link(Struct, frozen=True, kw_only=True):
    """A symbolic link to ``target``, or a hard link to a path of the same layer."""

    path: str
    target: str
    hard: bool = False


Entry = File | Directory | Link


class ImageConfig(Struct, frozen=True, kw_only=True):
    """How an image runs by default."""

    architecture: str
    """Go's name: ``amd64``, ``arm64``."""
    os: str = "linux"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",)
    working_dir: str = ""
    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    """``80/tcp``."""
    labels: Mapping[str, str] = field(default_factory=dict)
    stop_signal: str = ""


class ImageBuild(Struct, frozen=True, kw_only=True):
    """One image: its names, and per platform a configuration and layers (each a sequence of entries)."""

    names: tuple[str, ...]
    platforms: tuple[tuple[ImageConfig, tuple[Sequence[Entry], ...]], ...]


def layer(entries: Iterable[Entry]) -> bytes:
    """An uncompressed tar with the entries in the given order and no times in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry.path.strip("/"))
            data = b""
            if isinstance(entry, Link):
                info.type = tarfile.LNKTYPE if entry.hard else tarfile.SYMTYPE
                info.linkname = entry.target.lstrip("/") if entry.hard else entry.target
                info.mode = 0o777
            else:
                info.mode, info.uid, info.gid = entry.mode, entry.uid, entry.gid
                if isinstance(entry, Directory):
                    info.type = tarfile.DIRTYPE
                else:
                    data = entry.data
                    info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


class Layout:
    """The blobs and the index of an image layout, in memory until they are written."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}
        self._index: list[dict[str, Any]] = []

    def add(self, build: ImageBuild) -> str:
        """Add an image and return the digest that its names stand for."""
        manifests = [self._manifest(config, layers) for config, layers in build.platforms]
        if len(manifests) == 1:
            target = {key: value for key, value in manifests[0].items() if key != "platform"}
        else:
            document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
            target = self._descriptor(INDEX, _encoded(document))
        for name in build.names:
            reference = parse(name)
            annotations = {NAME_ANNOTATION: str(reference), REF_ANNOTATION: reference.tag}
            self._index.append({**target, "annotations": annotations})
        digest: str = target["digest"]
        return digest

    def files(self) -> dict[str, bytes]:
        """The layout's files by relative path."""
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": self._index}
        files = {
            "oci-layout": _encoded({"imageLayoutVersion": LAYOUT_VERSION}),
            "index.json": _encoded(index),
        }
        for digest in sorted(self._blobs):
            files[f"blobs/{digest.replace(':', '/')}"] = self._blobs[digest]
        return files

    def write(self, target: Path) -> None:
        """As a tar archive where ``target`` ends in ``.tar``, else as a directory."""
        if target.suffix == ".tar":
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(layer(File(path=path, data=data) for path, data in self.files().items()))
            return
        for path, data in self.files().items():
            file = target / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)

    def _manifest(self, config: ImageConfig, layers: Sequence[Sequence[Entry]]) -> dict[str, Any]:
        tars = [layer(entries) for entries in layers]
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self._descriptor(CONFIG, _encoded(_config_document(config, tars))),
            "layers": [self._descriptor(LAYER, tar) for tar in tars],
        }
        platform = {"architecture": config.architecture, "os": config.os}
        return {**self._descriptor(MANIFEST, _encoded(document)), "platform": platform}

    def _descriptor(self, media_type: str, data: bytes) -> dict[str, Any]:
        digest = _digest(data)
        self._blobs[digest] = data
        return {"mediaType": media_type, "digest": digest, "size": len(data)}


def _config_document(config: ImageConfig, tars: Sequence[bytes]) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.command),
        "Env": list(config.env),
        "WorkingDir": config.working_dir,
        "User": config.user,
        "ExposedPorts": {port: {} for port in config.exposed_ports},
        "Labels": dict(config.labels),
        "StopSignal": config.stop_signal,
    }
    return {
        "created": EPOCH,
        "architecture": config.architecture,
        "os": config.os,
        "config": {key: value for key, value in settings.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [_digest(tar) for tar in tars]},
        "history": [{"created": EPOCH, "created_by": "steersman"} for _ in tars],
    }


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _encoded(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
