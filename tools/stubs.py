"""Generate the message types of every .proto below ``src``: ``python tools/stubs.py [OUTPUT_DIRECTORY]``. Needs grpcio-tools."""

from __future__ import annotations

import sys
from pathlib import Path

SOURCE_ROOT = Path(__file__).parents[1] / "src"


def protos() -> list[Path]:
    """Their paths below ``src``, each beside its stubs."""
    return sorted(path.relative_to(SOURCE_ROOT) for path in SOURCE_ROOT.rglob("*.proto"))


def stubs_of(proto: Path) -> list[Path]:
    return [proto.with_name(f"{proto.stem}_pb2.{ending}") for ending in ("py", "pyi")]


def generate(proto: Path, output: Path = SOURCE_ROOT) -> None:
    """Write the stubs below ``output``, which stands for ``src``. Raises ``RuntimeError`` where protoc fails."""
    from grpc_tools import protoc

    words = [f"--proto_path={SOURCE_ROOT}", f"--python_out={output}", f"--pyi_out={output}", str(proto)]
    if code := protoc.main(["protoc", *words]):
        raise RuntimeError(f"protoc failed on {proto} with code {code}")


if __name__ == "__main__":
    for found in protos():
        generate(found, Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCE_ROOT)
