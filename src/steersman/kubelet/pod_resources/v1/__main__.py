"""Regenerates the stubs: ``python -m steersman.kubelet.pod_resources.v1 [OUTPUT_DIRECTORY]``. Needs grpcio-tools."""

from __future__ import annotations

import sys
from pathlib import Path

PROTO = "steersman/kubelet/pod_resources/v1/podresources.proto"
STUBS = ("podresources_pb2.py", "podresources_pb2.pyi")
SOURCE_ROOT = Path(__file__).parents[4]


def generate(output: Path) -> None:
    """Write the stubs below ``output``, which stands for the source root. Raises ``RuntimeError`` where protoc fails."""
    from grpc_tools import protoc

    code = protoc.main(
        ["protoc", f"--proto_path={SOURCE_ROOT}", f"--python_out={output}", f"--pyi_out={output}", PROTO]
    )
    if code != 0:
        raise RuntimeError(f"protoc failed on {PROTO} with code {code}")


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE_ROOT)
