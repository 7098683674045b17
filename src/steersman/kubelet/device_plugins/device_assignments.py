"""Which container has which devices, and what its plugin wants done for it, kept in ``kubelet_internal_checkpoint``."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import DecodeError
from msgspec import Struct

from steersman.kubelet.device_plugins.v1beta1 import deviceplugin_pb2 as pb
from steersman.kubelet.node_resources.state_file import StateError, StateFile
from steersman.kubelet.own_resources import DeviceSettings
from steersman.kubelet.runtimes.containers import Device, Mount

FILE: Final = "kubelet_internal_checkpoint"
log = logging.getLogger(__name__)


class Given(Struct, frozen=True, kw_only=True):
    """Devices of one resource that a container has."""

    by_node: Mapping[int, list[str]]
    """As ``DeviceList.by_node``, at the time they were given."""
    response: pb.ContainerAllocateResponse

    @property
    def ids(self) -> frozenset[str]:
        return frozenset(one for ids in self.by_node.values() for one in ids)


class DeviceAssignments:
    """By pod, container and resource."""

    def __init__(self, folder: Path) -> None:
        self._file = StateFile(folder / FILE)
        self._given: dict[str, dict[str, dict[str, Given]]] = {}

    @property
    def is_new(self) -> bool:
        """Nothing has been written down on this node yet."""
        return not self._file.path.exists()

    def load(self) -> tuple[str, ...]:
        """Resources that had a plugin. A file that cannot be read is as good as none, as upstream has it: pods that run
        keep their devices, and a plugin may give one of them again."""
        try:
            document = self._file.load()
            data = (document or {}).get("Data") or {}
            for entry in data.get("PodDeviceEntries") or ():
                self._put(entry["PodUID"], entry["ContainerName"], entry["ResourceName"], _read(entry))
            return tuple(data.get("RegisteredDevices") or {})
        except (StateError, OSError, KeyError, TypeError, ValueError, AttributeError, DecodeError) as error:
            log.error("cannot tell which containers have which devices: %s", error)
            return ()

    def save(self, registered: Mapping[str, Iterable[str]]) -> None:
        """``registered``: ids of healthy devices by resource. Raises ``OSError``."""
        entries = [
            {
                "PodUID": uid,
                "ContainerName": name,
                "ResourceName": resource,
                "DeviceIDs": {str(node): ids for node, ids in given.by_node.items()},
                "AllocResp": base64.b64encode(given.response.SerializeToString()).decode(),
            }
            for uid, name, resource, given in self.all()
        ]
        devices = {resource: sorted(ids) for resource, ids in registered.items()}
        self._file.save({"Data": {"PodDeviceEntries": entries, "RegisteredDevices": devices}})

    def all(self) -> Iterator[tuple[str, str, str, Given]]:
        for uid, containers in self._given.items():
            for name, resources in containers.items():
                for resource, given in resources.items():
                    yield uid, name, resource, given

    def of(self, uid: str, container: str) -> Mapping[str, Given]:
        """By resource."""
        return self._given.get(uid, {}).get(container, {})

    def ids(self, uid: str, container: str, resource: str) -> frozenset[str] | None:
        """None where it was given none."""
        given = self.of(uid, container).get(resource)
        return given.ids if given is not None else None

    def has_pod(self, uid: str) -> bool:
        return uid in self._given

    def resources(self) -> frozenset[str]:
        return frozenset(resource for _, _, resource, _ in self.all())

    def taken(self, resource: str) -> frozenset[str]:
        """By all containers."""
        found: frozenset[str] = frozenset()
        for _, _, name, given in self.all():
            if name == resource:
                found |= given.ids
        return found

    def owners(self, resource: str, ids: frozenset[str]) -> frozenset[str]:
        """Uids of pods that have one of ``ids``."""
        return frozenset(uid for uid, _, name, given in self.all() if name == resource and given.ids & ids)

    def give(self, uid: str, container: str, resource: str, given: Given) -> None:
        self._put(uid, container, resource, given)

    def take_back_all_but(self, uids: Iterable[str]) -> bool:
        """What pods that are not among ``uids`` have; False where they have nothing."""
        gone = self._given.keys() - set(uids)
        for uid in gone:
            del self._given[uid]
        return bool(gone)

    def settings(self, uid: str, container: str) -> DeviceSettings:
        """Of all its devices. Of what two plugins set the same way the first counts."""
        envs: dict[str, str] = {}
        mounts: dict[str, Mount] = {}
        devices: dict[str, Device] = {}
        annotations: dict[str, str] = {}
        cdi: dict[str, None] = {}
        for given in self.of(uid, container).values():
            said = given.response
            envs = {**said.envs, **envs}
            annotations = {**said.annotations, **annotations}
            for mount in said.mounts:
                wanted = Mount(container_path=mount.container_path, host_path=mount.host_path, readonly=mount.read_only)
                mounts.setdefault(mount.container_path, wanted)
            for spec in said.devices:
                device = Device(
                    container_path=spec.container_path, host_path=spec.host_path, permissions=spec.permissions
                )
                devices.setdefault(spec.container_path, device)
            cdi.update(dict.fromkeys(device.name for device in said.cdi_devices))
        return DeviceSettings(
            envs=envs,
            mounts=tuple(mounts.values()),
            devices=tuple(devices.values()),
            annotations=annotations,
            cdi_devices=tuple(cdi),
        )

    def _put(self, uid: str, container: str, resource: str, given: Given) -> None:
        self._given.setdefault(uid, {}).setdefault(container, {})[resource] = given


def _read(entry: Mapping[str, Any]) -> Given:
    return Given(
        by_node={int(node): list(ids) for node, ids in entry["DeviceIDs"].items()},
        response=pb.ContainerAllocateResponse.FromString(base64.b64decode(entry["AllocResp"])),
    )
