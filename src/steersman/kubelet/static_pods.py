"""Static pods: manifests in a directory, run without an API server.

Each file holds one pod, YAML or JSON. A pod's identity comes from its file and content, so that a changed file is a new
pod; names get the node's name appended, as upstream does.
"""

from __future__ import annotations

import asyncio
import copy
import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import yaml

from steersman.aio.clock import Clock
from steersman.kubelet.podspec import CONFIG_HASH, CONFIG_SEEN, CONFIG_SOURCE
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.meta.times import format_micro_time

log = logging.getLogger(__name__)


class ManifestError(ValueError):
    """The manifest is not a pod."""


def static_pod(text: str, *, origin: str, node_name: str, seen: str) -> Object:
    """The pod of a manifest from ``origin`` (a file name or URL). Raises ``ManifestError``."""
    try:
        manifest = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise ManifestError(f"{origin}: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("kind") != "Pod" or manifest.get("apiVersion") != "v1":
        raise ManifestError(f"{origin}: not a Pod of v1")
    metadata = manifest.get("metadata") or {}
    if not metadata.get("name") or not isinstance(manifest.get("spec"), dict):
        raise ManifestError(f"{origin}: metadata.name and spec are required")
    pod: Object = copy.deepcopy({**manifest, "metadata": dict(metadata)})
    digest = hashlib.md5(usedforsecurity=False)
    for part in (msgspec.json.encode(manifest, order="sorted"), origin.encode(), node_name.encode()):
        digest.update(part)
    uid = metadata.get("uid") or digest.hexdigest()
    pod["metadata"].update(
        {
            "name": f"{metadata['name']}-{node_name.lower()}",
            "namespace": metadata.get("namespace") or "default",
            "uid": uid,
            "annotations": {
                **(metadata.get("annotations") or {}),
                CONFIG_HASH: uid,
                CONFIG_SOURCE: "file",
                CONFIG_SEEN: seen,
            },
        }
    )
    pod["spec"]["nodeName"] = node_name
    pod["spec"]["tolerations"] = [
        *(pod["spec"].get("tolerations") or ()),
        {"operator": "Exists", "effect": "NoExecute"},
    ]
    from steersman.schema.groups.core.pod import KIND  # every kind comes with it, which a node without manifests spares

    KIND.default(pod)
    pod["status"] = {"phase": "Pending"}
    return pod


class StaticPods:
    """Follows a directory, by inotify and, for what that may miss, every so often."""

    def __init__(
        self,
        folder: Path,
        *,
        node_name: str,
        clock: Clock,
        check_s: float,
        changed: Callable[[Mapping[str, Object]], None],
    ) -> None:
        """``changed`` is given all pods by uid whenever they differ from before."""
        self._folder = folder
        self._node_name = node_name
        self._clock = clock
        self._check_s = check_s
        self._changed = changed
        self._pods: dict[str, Object] | None = None
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled."""
        stop = self._watch()
        try:
            while True:
                self._woken.clear()
                self._read()
                try:
                    await self._clock.wait_for(self._woken.wait(), self._check_s)
                except TimeoutError:
                    continue
        finally:
            stop()

    def _watch(self) -> Callable[[], None]:
        from inotify_simple import INotify, flags

        loop = asyncio.get_running_loop()
        inotify = INotify(nonblocking=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        inotify.add_watch(
            self._folder, flags.CLOSE_WRITE | flags.MOVED_TO | flags.MOVED_FROM | flags.DELETE | flags.CREATE
        )

        def on_change() -> None:
            inotify.read(timeout=0)
            self._woken.set()

        loop.add_reader(inotify.fileno(), on_change)

        def stop() -> None:
            loop.remove_reader(inotify.fileno())
            inotify.close()

        return stop

    def _read(self) -> None:
        before = self._pods or {}
        found: dict[str, Object] = {}
        for path in sorted(self._folder.glob("*")):
            if path.name.startswith(".") or not path.is_file():
                continue
            try:
                pod = static_pod(
                    path.read_text(),
                    origin=str(path),
                    node_name=self._node_name,
                    seen=format_micro_time(self._clock.now()),
                )
            except (OSError, ManifestError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
                log.error("static pod %s: %s", path, error)
                continue
            uid = objects.uid(pod)
            found[uid] = before.get(uid) or pod
        if self._pods is None or found.keys() != before.keys():
            self._pods = found
            self._changed(found)
