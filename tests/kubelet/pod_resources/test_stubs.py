"""The messages are as published."""

from __future__ import annotations

from steersman.kubelet.pod_resources.v1 import podresources_pb2 as pb


def test_memory_is_on_the_wire_as_go_writes_it() -> None:
    """As the published package's marshaller has it."""
    memory = pb.ContainerMemory(memory_type="memory", size=300, topology=pb.TopologyInfo(nodes=[pb.NUMANode(ID=1)]))
    assert memory.SerializeToString() == b"\n\x06memory\x10\xac\x02\x1a\x04\n\x02\x08\x01"
    assert pb.DESCRIPTOR.package == "v1"
