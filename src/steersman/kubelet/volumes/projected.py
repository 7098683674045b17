"""``projected``: several sources in one folder: ConfigMaps, Secrets, the downward API, service account tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from steersman.aio.clock import Clock, SystemClock
from steersman.client.transport import Unreachable
from steersman.kubelet.volumes import sources
from steersman.kubelet.volumes.api import MountedVolume, VolumeContext, VolumeError, VolumePlugin
from steersman.kubelet.volumes.api_files import default_mode, publish
from steersman.kubelet.volumes.atomic_files import File
from steersman.meta.errors import APIError

NAME = "kubernetes.io/projected"


class ProjectedVolume:
    field = "projected"
    refreshes = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    async def set_up(self, context: VolumeContext) -> MountedVolume:
        spec = context.volume[self.field]
        mode = default_mode(spec)
        files: dict[str, File] = {}
        problems: list[str] = []
        for source in spec.get("sources") or ():
            try:
                files.update(await _files(context, source, mode))
            except (VolumeError, APIError, Unreachable) as error:
                problems.append(str(error))
        if problems:
            raise VolumeError(_joined(problems))
        return await publish(context, NAME, files, clock=self._clock, in_memory=True)


def _joined(problems: Sequence[str]) -> str:
    """Each once, as upstream puts errors together."""
    once = tuple(dict.fromkeys(problems))
    return once[0] if len(once) == 1 else f"[{', '.join(once)}]"


async def _files(context: VolumeContext, source: Mapping[str, Any], mode: int) -> dict[str, File]:
    [kind] = source
    entry = source[kind]
    match kind:
        case "configMap":
            return await sources.config_map_files(context, entry, entry.get("name") or "", mode)
        case "secret":
            return await sources.secret_files(context, entry, entry.get("name") or "", mode)
        case "downwardAPI":
            return sources.downward_files(context, entry, mode)
        case "serviceAccountToken":
            return await sources.token_files(context, entry, mode)
        case _:
            raise VolumeError(f"projected volume source {kind} is not supported by this kubelet")


def _conforms() -> VolumePlugin:
    return ProjectedVolume(SystemClock())
