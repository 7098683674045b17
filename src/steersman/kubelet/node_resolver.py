"""The node's own resolv.conf. It is another one after each change of its network, and pods that start then get that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from steersman.kubelet.pod_dns import MAX_SEARCH_CHARS, MAX_SEARCH_LENGTH, MAX_SEARCHES, parse_resolv_conf
from steersman.kubelet.runtimes.sandboxes import DNSConfig

CLUSTERS_OWN: Final = 3
"""Search domains of the cluster's, which come before the node's."""


class NodeResolver:
    """``path``: None where pods get nothing of the node's."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: tuple[tuple[int, ...], DNSConfig] | None = None

    def read(self) -> DNSConfig:
        """As the file is now. Raises ``OSError``."""
        if self._path is None:
            return DNSConfig()
        status = os.stat(self._path)
        version = status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
        if self._known is None or self._known[0] != version:
            self._known = version, parse_resolv_conf(self._path.read_text())
        return self._known[1]

    def problem(self, cluster_domain: str) -> str:
        """What of the file pods cannot be given, in upstream's words; empty where that is nothing."""
        if self._path is None:
            return ""
        try:
            searches = self.read().searches
        except OSError as error:
            return f"open {self._path}: {(error.strerror or '').lower()}"
        limit = MAX_SEARCHES - (CLUSTERS_OWN if cluster_domain else 0)
        if len(searches) > limit:
            return f"Resolv.conf file '{self._path}' contains search line consisting of more than {limit} domains!"
        if any(len(entry) > MAX_SEARCH_LENGTH for entry in searches):
            return (
                f'Resolv.conf file "{self._path}" contains a search path which length is more than allowed'
                f" {MAX_SEARCH_LENGTH} chars!"
            )
        if len(" ".join(searches)) > MAX_SEARCH_CHARS:
            return (
                f"Resolv.conf file '{self._path}' contains search line which length is more than allowed"
                f" {MAX_SEARCH_CHARS} chars!"
            )
        return ""
