"""Connects to device plugins and follows each until it is gone or another comes for its resource."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final

from steersman.kubelet.device_plugins.device_manager import DeviceManager
from steersman.kubelet.device_plugins.devices import is_extended_resource
from steersman.kubelet.device_plugins.plugin import DevicePlugin, PluginError
from steersman.kubelet.plugin_watcher.handlers import PluginHandler, PluginRefused
from steersman.kubelet.probes import Spawn

VERSION: Final = "v1beta1"
log = logging.getLogger(__name__)


class DevicePlugins:
    """One task for each. Bounded by the number of resources."""

    def __init__(self, manager: DeviceManager, *, spawn: Spawn) -> None:
        self._manager = manager
        self._spawn = spawn
        self._following: dict[str, asyncio.Task[None]] = {}

    def problem(self, name: str, versions: Sequence[str]) -> str:
        if VERSION not in versions:
            return f"manager version, {VERSION}, is not among plugin supported versions [{' '.join(versions)}]"
        if not is_extended_resource(name):
            return f'invalid name of device plugin socket: the ResourceName "{name}" is invalid'
        return ""

    async def connect(self, name: str, address: str) -> None:
        plugin = DevicePlugin(name, address)
        try:
            await plugin.connect()
        except PluginError as error:
            await plugin.close()
            raise PluginRefused(str(error)) from error
        self.disconnect(name)
        self._manager.connected(plugin)
        self._following[name] = self._spawn(self._follow(plugin), name=f"device plugin/{name}")

    def disconnect(self, name: str) -> None:
        task = self._following.pop(name, None)
        if task is not None:
            task.cancel()

    async def _follow(self, plugin: DevicePlugin) -> None:
        """What a plugin does wrong is no reason for the kubelet to stop."""
        try:
            async for devices in plugin.watch():
                self._manager.listed(plugin, devices)
            log.info("device plugin for %s is done", plugin.resource)
        except PluginError as error:
            log.warning("device plugin for %s is gone: %s", plugin.resource, error)
        except Exception:
            log.exception("device plugin for %s cannot be followed", plugin.resource)
        finally:
            self._manager.disconnected(plugin)
            await plugin.close()


def _conforms(plugins: DevicePlugins) -> PluginHandler:
    return plugins
