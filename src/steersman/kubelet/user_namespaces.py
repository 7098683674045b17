"""User namespaces of pods (``hostUsers: false``): to each a range of the node's user and group ids of its own.

A pod's range is written in its folder, in upstream's form, before the pod has it, so that a later kubelet gives it to
nobody else. Ids below the length of one range are never given: they are the node's own users.
"""

from __future__ import annotations

import logging
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from steersman.kubelet.pod_paths import PodPaths
from steersman.kubelet.runtimes.api import RuntimeHandler
from steersman.kubelet.runtimes.sandboxes import IDMapping, UserNamespace
from steersman.kubelet.security_context import SecurityContextError
from steersman.meta import objects

FILE: Final = "userns"
KUBELET_USER: Final = "kubelet"
ALL_IDS: Final = 1 << 32
HOST = UserNamespace(mode="NODE")
log = logging.getLogger(__name__)


class UserNamespaces:
    """Of one kubelet. Not safe for threads."""

    def __init__(self, paths: PodPaths | None, *, ids_per_pod: int, subordinate: tuple[int, int] | None = None) -> None:
        """``subordinate``: first id and number of those that may be given; None: all there are."""
        self._paths = paths
        self._length = ids_per_pod
        first, count = subordinate or (ids_per_pod, ALL_IDS - ids_per_pod)
        if first % ids_per_pod or count % ids_per_pod or first < ids_per_pod:
            raise ValueError(f"subordinate ids {first} and {count} more are not a multiple of {ids_per_pod} each")
        self._slots = range(first, first + count, ids_per_pod)
        self._first_of: dict[str, int] = {}
        self._taken: set[int] = set()

    def load(self) -> None:
        """Learn what pods have already. Raises ``OSError`` or ``ValueError``: without it a range could be given twice."""
        if self._paths is None or not self._paths.pods.exists():
            return
        for folder in self._paths.pods.iterdir():
            found = self._read(folder.name)
            if found is not None:
                self._record(folder.name, found)

    def of(self, pod: Mapping[str, Any], handler: str, handlers: Iterable[RuntimeHandler]) -> UserNamespace:
        """The pod's, given to it now where it has none. Raises ``SecurityContextError`` or ``OSError``."""
        if pod["spec"].get("hostUsers") is not False:
            return HOST
        if not any(item.user_namespaces for item in handlers if item.name == handler):
            what = f'RuntimeClass handler "{handler}"' if handler else "runtime"
            raise SecurityContextError(f"can't set `spec.hostUsers: false`, {what} does not support user namespaces")
        uid = objects.uid(pod)
        first = self._first_of.get(uid)
        if first is None:
            first = self._give(uid)
        mapping = (IDMapping(host_id=first, container_id=0, length=self._length),)
        return UserNamespace(mode="POD", uids=mapping, gids=mapping)

    def release(self, uid: str) -> None:
        """Nothing of the pod runs any more, and nothing that it wrote is left."""
        first = self._first_of.pop(uid, None)
        if first is not None:
            self._taken.discard(first)
            if self._paths is not None:
                (self._paths.pod(uid) / FILE).unlink(missing_ok=True)

    def _give(self, uid: str) -> int:
        first = next((slot for slot in self._slots if slot not in self._taken), None)
        if first is None:
            raise SecurityContextError(
                "create user namespace: could not find an empty slot to allocate a user namespace"
            )
        if self._paths is not None:
            mapping = [{"hostId": first, "containerId": 0, "length": self._length}]
            _write_durably(self._paths.pod(uid), {"uidMappings": mapping, "gidMappings": mapping})
        self._first_of[uid] = first
        self._taken.add(first)
        return first

    def _read(self, uid: str) -> int | None:
        assert self._paths is not None
        try:
            document = msgspec.json.decode((self._paths.pod(uid) / FILE).read_bytes())
            (mapping,) = document["uidMappings"]
            if document["gidMappings"] != [mapping] or mapping["containerId"] != 0:
                raise ValueError("GID and UID mappings should be identical, and begin with 0")
            if mapping["length"] != self._length:
                raise ValueError(f"wrong user namespace length {mapping['length']}")
            return int(mapping["hostId"])
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError, msgspec.DecodeError) as error:
            raise ValueError(f"user namespace of pod {uid}: {error}") from error

    def _record(self, uid: str, first: int) -> None:
        if first not in self._slots:
            raise ValueError(f"user namespace of pod {uid}: id {first} is out of range")
        if first in self._taken:
            raise ValueError(f"user namespace of pod {uid}: its range is another's too")
        self._first_of[uid] = first
        self._taken.add(first)


def subordinate_ids() -> tuple[int, int] | None:
    """What ``getsubids`` says the user ``kubelet`` may give away; None where there is no such user or no such program.
    Raises ``ValueError`` where it says anything that is not one range, for users and groups alike."""
    program = shutil.which("getsubids")
    try:
        pwd.getpwnam(KUBELET_USER)
    except KeyError:
        return None
    if program is None:
        return None
    said = [
        subprocess.run([program, *option, KUBELET_USER], check=False, capture_output=True, text=True)
        for option in ((), ("-g",))
    ]
    users, groups = said
    if users.returncode or groups.returncode or users.stdout != groups.stdout:
        raise ValueError(f'mismatched subuids and subgids for user "{KUBELET_USER}": {users.stderr or groups.stderr}')
    words = users.stdout.split()
    if len(words) != 4 or not (words[2].isdigit() and words[3].isdigit()):
        raise ValueError(f'error parsing line "{users.stdout.strip()}" of getsubids')
    return int(words[2]), int(words[3])


def _write_durably(folder: Any, document: Mapping[str, Any]) -> None:
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    pending = folder / f".{FILE}"
    with pending.open("wb") as file:
        file.write(msgspec.json.encode(document))
        file.flush()
        os.fsync(file.fileno())
    pending.replace(folder / FILE)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
