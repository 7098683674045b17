"""DefaultBinder: binds through ``pods/binding``."""

from __future__ import annotations

from typing import ClassVar

from steersman.meta.objects import Object
from steersman.scheduler.framework import BindPlugin
from steersman.scheduler.plugin_args import Args, reject_unknown
from steersman.scheduler.pod_info import PodInfo


class DefaultBinder:
    NAME: ClassVar[str] = "DefaultBinder"

    @classmethod
    def from_args(cls, args: Args) -> DefaultBinder:
        reject_unknown(args, ())
        return cls()

    def bind(self, pod: PodInfo, node_name: str) -> Object | None:
        return {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node_name},
        }


def _conforms() -> BindPlugin:
    return DefaultBinder()
