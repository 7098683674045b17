"""What was given to which container, kept for the next kubelet: one JSON document with a checksum."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from steersman.kubelet.state_files import replace_file


class StateError(Exception):
    """The file says something that this kubelet cannot go on with."""


class StateFile:
    """The names in the document are upstream's; the checksum is our own, so files do not move between the two."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> dict[str, Any] | None:
        """None where there is none. Raises ``StateError`` and ``OSError``."""
        try:
            document = msgspec.json.decode(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise StateError(f"{self.path}: {error}") from error
        if not isinstance(document, dict) or document.pop("checksum", None) != _checksum(document):
            raise StateError(f"{self.path}: checkpoint is corrupted")
        return document

    def save(self, document: Mapping[str, Any]) -> None:
        """Raises ``OSError``."""
        replace_file(self.path, msgspec.json.encode({**document, "checksum": _checksum(document)}))

    def check_policy(self, policy: str, what: str) -> None:
        """Another policy than the one that wrote the file cannot make sense of it. Raises ``StateError``."""
        document = self.load()
        if document is not None and document.get("policyName") != policy:
            raise StateError(
                f'could not restore state from checkpoint: configured policy "{policy}" differs from state checkpoint'
                f' policy "{document.get("policyName")}", please drain this node and delete the {what} manager checkpoint'
                f' file "{self.path}" before restarting Kubelet'
            )


def _checksum(document: Mapping[str, Any]) -> int:
    return zlib.crc32(msgspec.json.encode(document, order="sorted"))
