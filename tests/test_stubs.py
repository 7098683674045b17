"""The committed stubs are what their .proto generates."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import stubs


@pytest.mark.parametrize("proto", stubs.protos(), ids=lambda proto: proto.stem)
def test_stubs_are_generated_from_their_proto(proto: Path, tmp_path: Path) -> None:
    stubs.generate(proto, tmp_path)
    for stub in stubs.stubs_of(proto):
        fresh, committed = (tmp_path / stub).read_text(), (stubs.SOURCE_ROOT / stub).read_text()
        assert _without_version(fresh) == _without_version(committed), f"{stub}: python tools/stubs.py"


def _without_version(stub: str) -> str:
    """The generator writes its own version in two places; the stubs do not depend on it otherwise."""
    head, separator, rest = stub.partition("# @@protoc_insertion_point(imports)")
    return rest if separator else head
