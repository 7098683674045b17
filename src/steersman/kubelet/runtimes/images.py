"""Images as CRI v1 has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec
from msgspec import Struct


class ImageSpec(Struct, frozen=True, kw_only=True):
    """Names an image: ``image`` is a reference (``name:tag``, ``name@digest``) or an id."""

    image: str
    annotations: Mapping[str, str] = msgspec.field(default_factory=dict)
    user_specified_image: str = ""
    """As written in the pod."""
    runtime_handler: str = ""
    image_ref: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthConfig:
    """Credentials for one registry. Empty fields are not given."""

    username: str = ""
    password: str = field(default="", repr=False)
    auth: str = field(default="", repr=False)
    server_address: str = ""
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)


class Image(Struct, frozen=True, kw_only=True):
    id: str
    """``sha256:…`` of its configuration."""
    repo_tags: tuple[str, ...] = ()
    repo_digests: tuple[str, ...] = ()
    size_bytes: int = 0
    uid: int | None = None
    """The user its processes run as by default, where numeric."""
    username: str = ""
    spec: ImageSpec | None = None
    pinned: bool = False
    """Never removed by image garbage collection."""


class FilesystemUsage(Struct, frozen=True, kw_only=True):
    timestamp_ns: int
    mountpoint: str = ""
    used_bytes: int = 0
    inodes_used: int = 0


class ImageFsInfo(Struct, frozen=True, kw_only=True):
    image_filesystems: tuple[FilesystemUsage, ...] = ()
    container_filesystems: tuple[FilesystemUsage, ...] = ()
