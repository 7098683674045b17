"""What pods were granted and what their containers were last set to, kept over restarts of the kubelet.

One small file in each pod's folder, replaced whole; it goes when the folder goes. A kubelet without files remembers while
it runs. A file that is missing or cannot be read says nothing, and the pod's spec counts.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from steersman.kubelet.allocation import Actuated, Allocation, Amounts
from steersman.kubelet.pod_paths import PodPaths

FILE = "resources.json"
log = logging.getLogger(__name__)


class Checkpoint(Struct, frozen=True, kw_only=True):
    """Of one pod."""

    allocation: Allocation | None = None
    actuated: Actuated | None = None


class ResourceCheckpoints:
    """By pod uid."""

    def __init__(self, paths: PodPaths | None) -> None:
        """``paths``: None where there are no files."""
        self._paths = paths
        self._known: dict[str, Checkpoint] = {}
        self._written: set[str] = set()
        """Pods whose files say what was actuated."""

    def get(self, uid: str) -> Checkpoint:
        found = self._known.get(uid)
        if found is None:
            found = self._known[uid] = self._load(uid)
            if found.actuated is not None:
                self._written.add(uid)
        return found

    def set_allocation(self, uid: str, allocation: Allocation) -> None:
        """Raises ``OSError``: what could not be written down must not be granted."""
        before = self.get(uid)
        if before.allocation != allocation:
            self._set(uid, Checkpoint(allocation=allocation, actuated=before.actuated))

    def set_actuated(self, uid: str, actuated: Actuated, *, as_granted: bool = False) -> None:
        """``as_granted``: it is what was granted, which is what is assumed where nothing is written; it is written with the
        next grant then. Raises ``OSError``."""
        before = self.get(uid)
        checkpoint = Checkpoint(allocation=before.allocation, actuated=actuated)
        if as_granted and uid not in self._written:
            self._known[uid] = checkpoint
        elif before.actuated != actuated:
            self._set(uid, checkpoint)

    def forget(self, uid: str) -> None:
        """The pod is gone; its file went with its folder."""
        self._known.pop(uid, None)
        self._written.discard(uid)

    def _set(self, uid: str, checkpoint: Checkpoint) -> None:
        if self._paths is not None:
            folder = self._paths.pod(uid)
            folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            pending = folder / f".{FILE}"
            pending.write_bytes(_encoded(checkpoint))
            os.replace(pending, folder / FILE)
        self._known[uid] = checkpoint
        if checkpoint.actuated is not None:
            self._written.add(uid)

    def _load(self, uid: str) -> Checkpoint:
        if self._paths is None:
            return Checkpoint()
        try:
            return _decoded(msgspec.json.decode((self._paths.pod(uid) / FILE).read_bytes()))
        except FileNotFoundError:
            return Checkpoint()
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("cannot read what pod %s was granted: %s", uid, error)
            return Checkpoint()


def _encoded(checkpoint: Checkpoint) -> bytes:
    document: dict[str, Any] = {}
    if checkpoint.allocation is not None:
        document["allocated"] = {"pod": checkpoint.allocation.pod, "containers": checkpoint.allocation.containers}
    if checkpoint.actuated is not None:
        document["actuated"] = checkpoint.actuated
    return msgspec.json.encode(document)


def _decoded(document: Mapping[str, Any]) -> Checkpoint:
    allocated, actuated = document.get("allocated"), document.get("actuated")
    return Checkpoint(
        allocation=Allocation(pod=allocated["pod"], containers=allocated["containers"]) if allocated else None,
        actuated=_actuated(actuated) if actuated else None,
    )


def _actuated(document: Mapping[str, Any]) -> Actuated:
    pod = document["pod"]
    return Actuated(
        pod=Amounts(**pod) if pod else None,
        containers={name: Amounts(**amounts) for name, amounts in document["containers"].items()},
    )
