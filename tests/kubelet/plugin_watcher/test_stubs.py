"""The messages are as published."""

from __future__ import annotations

from steersman.kubelet.plugin_watcher.v1 import pluginregistration_pb2 as pb


def test_a_status_is_on_the_wire_as_go_writes_it() -> None:
    """As the published package's marshaller has it."""
    assert pb.RegistrationStatus(plugin_registered=True, error="x").SerializeToString() == b"\x08\x01\x12\x01x"
    assert pb.DESCRIPTOR.package == "pluginregistration"
