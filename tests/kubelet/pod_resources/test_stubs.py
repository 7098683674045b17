"""The committed stubs are what their .proto generates, and as published."""

from __future__ import annotations

from pathlib import Path

import pytest

from steersman.kubelet.pod_resources.v1 import podresources_pb2 as pb
from steersman.kubelet.pod_resources.v1.__main__ import STUBS, generate


def test_the_stubs_are_generated_from_the_proto(tmp_path: Path) -> None:
    pytest.importorskip("grpc_tools.protoc")
    generate(tmp_path)
    committed = Path(pb.__file__).parent
    for name in STUBS:
        fresh = next(tmp_path.rglob(name)).read_text()
        assert _without_version(fresh) == _without_version((committed / name).read_text()), f"{name}: regenerate"


def _without_version(stub: str) -> str:
    """The generator writes its own version in two places; the stubs do not depend on it otherwise."""
    head, separator, rest = stub.partition("# @@protoc_insertion_point(imports)")
    return rest if separator else head


def test_memory_is_on_the_wire_as_go_writes_it() -> None:
    """As the published package's marshaller has it."""
    memory = pb.ContainerMemory(memory_type="memory", size=300, topology=pb.TopologyInfo(nodes=[pb.NUMANode(ID=1)]))
    assert memory.SerializeToString() == b"\n\x06memory\x10\xac\x02\x1a\x04\n\x02\x08\x01"
    assert pb.DESCRIPTOR.package == "v1"
