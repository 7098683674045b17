"""CRI's messages keep what the values say."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from steersman.kubelet.runtimes import cri_reports, cri_requests
from steersman.kubelet.runtimes.containers import ContainerConfig, ContainerMetadata, Mount
from steersman.kubelet.runtimes.criv1 import cri_pb2 as pb
from steersman.kubelet.runtimes.images import ImageSpec
from steersman.kubelet.runtimes.sandboxes import LinuxResources


def test_resources_survive_the_way_there_and_back() -> None:
    values = LinuxResources(cpu_period=1, cpu_quota=-1, memory_limit_bytes=2**40, unified={"a": "b"}, cpuset_cpus="0-1")
    assert cri_reports.resources(cri_requests.resources(values)) == values


def test_a_container_configuration_names_its_signal_as_cri_does() -> None:
    def config(signal: str) -> pb.ContainerConfig:
        metadata = ContainerMetadata(name="c")
        return cri_requests.container_config(
            ContainerConfig(metadata=metadata, image=ImageSpec(image="i"), stop_signal=signal)
        )

    assert config("SIGRTMIN+3").stop_signal == 38
    assert config("SIGTERM").stop_signal == 23
    assert config("").stop_signal == 0


def test_mounts_carry_propagation_and_read_only() -> None:
    mount = Mount(container_path="/a", host_path="/b", readonly=True, propagation="HOST_TO_CONTAINER")
    metadata = ContainerMetadata(name="c")
    config = ContainerConfig(metadata=metadata, image=ImageSpec(image="i"), mounts=(mount,))
    sent = cri_requests.container_config(config).mounts[0]
    assert (sent.container_path, sent.host_path, sent.readonly) == ("/a", "/b", True)
    assert sent.propagation == pb.PROPAGATION_HOST_TO_CONTAINER


def test_the_subset_has_the_published_package_name() -> None:
    assert pb.DESCRIPTOR.package == "runtime.v1"
    assert isinstance(pb, ModuleType) and importlib.util.find_spec(pb.__name__)
