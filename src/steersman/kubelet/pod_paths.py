"""Where the files of a pod are, under the kubelet's root and log directories (upstream's layout)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from steersman.meta import objects

LOG_ROOT = Path("/var/log/pods")


class PodPaths(Struct, frozen=True, kw_only=True):
    """Paths of every pod of one kubelet."""

    root: Path
    """``--root-dir``, usually /var/lib/kubelet."""
    logs: Path = LOG_ROOT
    container_logs: Path = Path("/var/log/containers")
    """Symbolic links by pod and container name for log collectors."""

    @property
    def pods(self) -> Path:
        return self.root / "pods"

    @property
    def seccomp(self) -> Path:
        return self.root / "seccomp"

    def pod(self, uid: str) -> Path:
        return self.pods / uid

    def volume(self, uid: str, plugin: str, name: str) -> Path:
        """``plugin`` as in ``kubernetes.io/empty-dir``."""
        return self.pod(uid) / "volumes" / plugin.replace("/", "~") / name

    def volumes(self, uid: str) -> Path:
        return self.pod(uid) / "volumes"

    def hosts_file(self, uid: str) -> Path:
        return self.pod(uid) / "etc-hosts"

    def subpaths(self, uid: str) -> Path:
        return self.pod(uid) / "volume-subpaths"

    def termination_message(self, uid: str, container: str, instance: str) -> Path:
        """The file behind ``terminationMessagePath`` of one run of ``container``."""
        return self.pod(uid) / "containers" / container / instance

    def containers(self, uid: str) -> Path:
        return self.pod(uid) / "containers"

    def pod_logs(self, pod: Mapping[str, Any]) -> Path:
        return self.logs / f"{objects.namespace(pod)}_{objects.name(pod)}_{objects.uid(pod)}"

    def container_logs_of(self, pod: Mapping[str, Any], container: str) -> Path:
        return self.pod_logs(pod) / container

    def log_link(self, pod: Mapping[str, Any], container: str, container_id: str) -> Path:
        name = f"{objects.name(pod)}_{objects.namespace(pod)}_{container}-{container_id}.log"
        return self.container_logs / name
