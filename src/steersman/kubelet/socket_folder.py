"""A folder with the Unix sockets of the kubelet's local services."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Final

LONGEST: Final = 107
"""Bytes of a socket's name that the kernel takes."""


class SocketFolder:
    """Use it as a context. Its own name may be longer than a socket's: it is then named by an open file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1

    def __enter__(self) -> SocketFolder:
        """Makes it, and removes the sockets that another process left. Raises ``OSError``."""
        self.path.mkdir(mode=0o750, parents=True, exist_ok=True)
        for path in self.path.iterdir():
            if stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink(missing_ok=True)
        self._descriptor = os.open(self.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def address(self, name: str) -> str:
        """Of a socket in it, for gRPC."""
        path = str(self.path / name.lstrip("/"))
        if len(os.fsencode(path)) > LONGEST:
            path = f"/proc/{os.getpid()}/fd/{self._descriptor}/{name.lstrip('/')}"
        return f"unix:{path}"
