"""Costs of ``application/vnd.kubernetes.protobuf`` on a typical pod, against the same work over protobuf's C runtime (upb).

CPU microseconds an operation, unless the name says otherwise. The comparison builds the same messages from the same tables
in a descriptor pool and walks them in Python, because objects are JSON dicts everywhere else: the walk costs more than the
parse. That is why the wire format is written by hand: no slower, byte for byte what Go writes, and no runtime to load.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from bench.schema import pod
from steersman.schema.protobuf import tables
from steersman.schema.protobuf.envelope import decode_object, encode_message, encode_object

POD = "core.v1.Pod"


def cost_us(operation: Callable[[], Any], runs: int = 2000) -> float:
    for _ in range(50):
        operation()
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(runs // 5):
            operation()
        best = min(best, (time.process_time() - began) / (runs // 5))
    return round(best * 1e6, 1)


def first_use_ms() -> float:
    """Imports, tables and the compilation of everything a pod needs, in a new process."""
    program = (
        "import time, sys, msgspec, datetime, bench.schema; pod = bench.schema.pod(); began = time.process_time()\n"
        "from steersman.schema.protobuf.envelope import decode_object, encode_object\n"
        "decode_object(encode_object(pod)); print((time.process_time() - began) * 1e3)"
    )
    return round(float(subprocess.run([sys.executable, "-c", program], capture_output=True, check=True).stdout), 1)


_TYPES = {"string": 9, "bool": 8, "int32": 5, "int64": 3, "double": 1, "bytes": 12}
"""descriptor.proto's numbers."""


class CRuntime:
    """Pods over protobuf's C runtime; only what the benchmark's pod has, which favours it."""

    def __init__(self) -> None:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

        self._descriptors = descriptor_pb2
        self._file = descriptor_pb2.FileDescriptorProto(name="bench.proto", package="bench", syntax="proto2")
        self._names: dict[str, dict[str, tables.Field]] = {}
        self._add(POD)
        pool = descriptor_pool.DescriptorPool()
        pool.Add(self._file)
        message = pool.FindMessageTypeByName(f"bench.{self._flat(POD)}")
        self.message = message_factory.GetMessageClass(message)

    @staticmethod
    def _flat(name: str) -> str:
        return name.replace(".", "_")

    def _add(self, name: str) -> None:
        if name in self._names:
            return
        fields = self._names[name] = {}
        proto = self._file.message_type.add(name=self._flat(name))
        specials = {"resource.Quantity": [(1, "string")], "meta.v1.Time": [(1, "int64"), (2, "int32")]}
        if not tables.exists(name):
            for number, kind in specials.get(name, [(1, "int64"), (2, "int32"), (3, "string")]):
                proto.field.add(name=f"f{number}", number=number, label=1, type=_TYPES[kind])
            return
        for field in tables.message(name).fields:
            fields[f"f{field.number}"] = field
            added: Any = proto.field.add(name=f"f{field.number}", number=field.number, label=3 if field.shape else 1)
            if field.shape == "map":
                entry = proto.nested_type.add(name=f"F{field.number}Entry")
                entry.options.map_entry = True
                entry.field.add(name="key", number=1, label=1, type=9)
                self._type(entry.field.add(name="value", number=2, label=1), field.type)
                added.type, added.type_name = 11, f".bench.{self._flat(name)}.F{field.number}Entry"
            else:
                self._type(added, field.type)

    def _type(self, added: Any, name: str) -> None:
        if name in _TYPES:
            added.type = _TYPES[name]
        else:
            added.type, added.type_name = 11, f".bench.{self._flat(name)}"
            self._add(name)

    def decode(self, data: bytes) -> Any:
        return self._walk(POD, self.message.FromString(data))

    def _walk(self, name: str, message: Any) -> Any:
        fields = self._names[name]
        if not fields:
            return [value for _, value in message.ListFields()]
        found: dict[str, Any] = {}
        for descriptor, value in message.ListFields():
            field = fields[descriptor.name]
            if field.type in tables.SCALARS:
                if field.shape == "list":
                    found[field.name] = list(value)
                elif field.shape == "map":
                    found[field.name] = dict(value)
                elif value or field.is_pointer or field.is_always:
                    found[field.name] = value
            elif field.shape == "list":
                found[field.name] = [self._walk(field.type, item) for item in value]
            elif field.shape == "map":
                found[field.name] = {key: self._walk(field.type, item) for key, item in value.items()}
            elif field.is_inline:
                found.update(self._walk(field.type, value))
            else:
                found[field.name] = self._walk(field.type, value)
        return found

    def copy(self, message: Any) -> bytes:
        """What encoding costs at least: fields set one by one, from what a message has, then serialized."""
        built = self.message()
        self._copy(message, built)
        return bytes(built.SerializeToString())

    def _copy(self, source: Any, target: Any) -> None:
        for descriptor, value in source.ListFields():
            name = descriptor.name
            if descriptor.message_type is None:
                if descriptor.is_repeated:
                    getattr(target, name).extend(value)
                else:
                    setattr(target, name, value)
            elif descriptor.message_type.GetOptions().map_entry:
                held = getattr(target, name)
                for key, item in value.items():
                    if isinstance(item, str | bytes | int):
                        held[key] = item
                    else:
                        self._copy(item, held[key])
            elif descriptor.is_repeated:
                for item in value:
                    self._copy(item, getattr(target, name).add())
            else:
                child = getattr(target, name)
                child.SetInParent()
                self._copy(value, child)


def run() -> dict[str, float]:
    """Case -> number."""
    obj = pod()
    data, raw = encode_object(obj), encode_message(obj)
    decoded = decode_object(data)
    runtime = CRuntime()
    message = runtime.message.FromString(raw)
    text = msgspec.json.encode(decoded)
    return {
        "protobuf/pod/json_bytes": len(text),
        "protobuf/pod/bytes": len(data),
        "protobuf/pod/encode/us": cost_us(lambda: encode_object(decoded)),
        "protobuf/pod/decode/us": cost_us(lambda: decode_object(data)),
        "protobuf/pod/upb_encode/us": cost_us(lambda: runtime.copy(message)),
        "protobuf/pod/upb_decode/us": cost_us(lambda: runtime.decode(raw)),
        "protobuf/first_use/ms": first_use_ms(),
    }


if __name__ == "__main__":
    for case, number in run().items():
        print(f"{case:45} {number:10.2f}")
