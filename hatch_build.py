"""Build step: extract the API definitions of Kubernetes v1.36 from the kubernetes-validate package.

The extract is one msgpack file, ``src/steersman/schema/_built/definitions.msgpack``: {definition name: JSON schema}, as
upstream's OpenAPI v2 document names them. It is built, never committed (docs/decisions/0002).
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import Any

import msgspec
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VERSION = "v1.36.0"


class CustomBuildHook(BuildHookInterface[Any]):
    """Write the extract before hatchling collects files, for wheels and editable installs alike."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        source = (
            importlib.resources.files("kubernetes_validate")
            / f"kubernetes-json-schema/{VERSION}-local/_definitions.json"
        )
        document = msgspec.json.decode(source.read_bytes())
        definitions = document["$defs"]
        built = Path(self.root) / "src/steersman/schema/_built"
        built.mkdir(exist_ok=True)
        fresh = built / "definitions.msgpack.new"
        fresh.write_bytes(msgspec.msgpack.encode(definitions))
        fresh.replace(built / "definitions.msgpack")  # running processes have the old one mapped
