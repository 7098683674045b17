"""Environment variables from files in a pod's volumes (``fileKeyRef``, KEP-3721).

The format is a strict part of the shell's: ``NAME='value'``, the value in single quotes and over as many lines as it likes,
comments after ``#``. As upstream, a file is read up to the variable that is looked for: what follows is nobody's concern.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from steersman.kubelet.volumes.subpath import open_in_root

LIMIT_BYTES = 1024 * 1024
"""The file is in the pod's hands; what is longer is refused."""


class EnvFileError(ValueError):
    """The file cannot be read or is not of the format; the message says where."""


def read_variable(volume: Path, path: str, key: str) -> str:
    """The value of ``key`` in file ``path`` of ``volume``; empty where it has none. Raises ``EnvFileError``."""
    try:
        text = _read(volume, path)
    except OSError as error:
        raise EnvFileError(f"failed to open environment variable file {path!r}: {error.strerror}") from error
    return find_variable(text, key)


def _read(volume: Path, path: str) -> str:
    root = os.open(volume, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        handle = open_in_root(root, path)
        try:
            info = os.fstat(handle)
            if not stat.S_ISREG(info.st_mode):
                raise EnvFileError(f"environment variable file {path!r} is no regular file")
            if info.st_size > LIMIT_BYTES:
                raise EnvFileError(f"environment variable file {path!r} is longer than {LIMIT_BYTES} bytes")
            with open(f"/proc/self/fd/{handle}", "rb") as stream:
                return stream.read(LIMIT_BYTES).decode("utf-8", "surrogateescape")
        finally:
            os.close(handle)
    finally:
        os.close(root)


def find_variable(text: str, key: str) -> str:
    """The value that ``text`` gives ``key``; empty where it gives none. Raises ``EnvFileError``."""
    lines = _lines(text)
    for number, line in lines:
        stripped = line.lstrip(" \t")
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        if not equals:
            raise _wrong(number, "missing '='")
        if not name.strip(" \t"):
            raise _wrong(number, "empty variable name")
        if name != name.rstrip(" \t"):
            raise _wrong(number, "whitespace before '=' is not allowed")
        found = "" if value[:1] in (" ", "\t") else _quoted(value, number, lines)
        if name == key:
            return found
    return ""


def _lines(text: str) -> Iterator[tuple[int, str]]:
    pieces = text.split("\n")
    if pieces[-1] == "":
        pieces.pop()
    return ((number, piece.removesuffix("\r")) for number, piece in enumerate(pieces, 1))


def _quoted(value: str, number: int, lines: Iterator[tuple[int, str]]) -> str:
    """The text in quotes that ``value`` begins with and that may end on a later line."""
    if not value.startswith("'"):
        raise _wrong(number, "value must be enclosed in single quotes")
    content, last, rest = "", number, value[1:]
    while "'" not in rest:
        content += rest + "\n"
        try:
            last, rest = next(lines)
        except StopIteration:
            message = f"invalid environment variable format starting at line {number}: unclosed single quote"
            raise EnvFileError(message) from None
    end, _, after = rest.partition("'")
    after = after.lstrip(" \t")
    if after and not after.startswith("#"):
        raise _wrong(last, "unexpected content after closing quote")
    return content + end


def _wrong(number: int, what: str) -> EnvFileError:
    return EnvFileError(f"invalid environment variable format at line {number}: {what}")
