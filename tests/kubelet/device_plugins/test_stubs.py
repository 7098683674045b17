"""The messages are as published."""

from __future__ import annotations

from steersman.kubelet.device_plugins.v1beta1 import deviceplugin_pb2 as pb


def test_a_device_is_on_the_wire_as_go_writes_it() -> None:
    """As the published package's marshaller has it."""
    device = pb.Device(ID="a", health="Healthy", topology=pb.TopologyInfo(nodes=[pb.NUMANode(ID=1)]))
    assert device.SerializeToString() == b"\n\x01a\x12\x07Healthy\x1a\x04\n\x02\x08\x01"
    assert pb.DESCRIPTOR.package == "v1beta1"
