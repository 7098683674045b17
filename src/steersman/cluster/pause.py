"""The pause image: the process that holds a pod's namespaces, made here so that a first pod needs no network.

The program is a few system calls, written down as machine code because neither a compiler on the user's machine nor a
binary in the repository is wanted. As process 1 of a pod with a shared process namespace it inherits orphans; so:

    block SIGINT, SIGTERM and SIGCHLD          (a blocked signal is kept for process 1 even without a handler)
    loop: wait for one of them                 rt_sigtimedwait
          SIGINT, SIGTERM: exit 0
          SIGCHLD: wait4(WNOHANG) until nothing is left to reap
"""

from __future__ import annotations

import struct
from typing import Final

from steersman.cluster.oci import File, ImageBuild, ImageConfig, Layout

IMAGE: Final = "localhost/steersman/pause:1"
"""``localhost`` so that no runtime ever looks for it in somebody's registry."""
USER: Final = "65535:65535"
"""As upstream's: nobody."""

_SIGINT, _SIGTERM, _SIGCHLD = 2, 15, 17
_SIGNAL_SET = struct.pack("<Q", sum(1 << (signal - 1) for signal in (_SIGINT, _SIGTERM, _SIGCHLD)))
_SET_BYTES = 8
_WNOHANG = 1
_EM_X86_64, _EM_AARCH64 = 62, 183
_BASE = 0x400000
_ALIGN = 0x10000
"""The largest page size in use (arm64 with 64 KiB pages)."""
_HEADERS_BYTES = 64 + 2 * 56


def image() -> Layout:
    """An image layout with ``IMAGE`` for every architecture that the program is written for."""
    layout = Layout()
    platforms = tuple(
        (
            ImageConfig(architecture=architecture, entrypoint=("/pause",), user=USER),
            ((File(path="/pause", data=program, mode=0o755),),),
        )
        for architecture, program in (("amd64", amd64()), ("arm64", arm64()))
    )
    layout.add(ImageBuild(names=(IMAGE,), platforms=platforms))
    return layout


def amd64() -> bytes:
    """The program as an x86-64 executable."""
    code = _assembled(
        b"\xb8\x0e\x00\x00\x00",  # mov  eax, 14        rt_sigprocmask
        b"\x31\xff",  # xor  edi, edi       SIG_BLOCK
        (b"\x48\x8d\x35", "set", 4),  # lea  rsi, [rip+set]
        b"\x31\xd2",  # xor  edx, edx
        b"\x41\xba\x08\x00\x00\x00",  # mov  r10d, 8        size of the set
        b"\x0f\x05",  # syscall
        "wait",
        b"\xb8\x80\x00\x00\x00",  # mov  eax, 128       rt_sigtimedwait
        (b"\x48\x8d\x3d", "set", 4),  # lea  rdi, [rip+set]
        b"\x31\xf6",  # xor  esi, esi       no details
        b"\x31\xd2",  # xor  edx, edx       no time limit
        b"\x41\xba\x08\x00\x00\x00",  # mov  r10d, 8
        b"\x0f\x05",  # syscall
        b"\x83\xf8\x11",  # cmp  eax, 17        SIGCHLD
        (b"\x74", "reap", 1),  # je   reap
        b"\x83\xf8\x02",  # cmp  eax, 2         SIGINT
        (b"\x74", "end", 1),  # je   end
        b"\x83\xf8\x0f",  # cmp  eax, 15        SIGTERM
        (b"\x74", "end", 1),  # je   end
        (b"\xeb", "wait", 1),  # jmp  wait           interrupted
        "reap",
        b"\xb8\x3d\x00\x00\x00",  # mov  eax, 61        wait4
        b"\x48\xc7\xc7\xff\xff\xff\xff",  # mov  rdi, -1        any child
        b"\x31\xf6",  # xor  esi, esi
        b"\xba\x01\x00\x00\x00",  # mov  edx, 1         WNOHANG
        b"\x45\x31\xd2",  # xor  r10d, r10d
        b"\x0f\x05",  # syscall
        b"\x85\xc0",  # test eax, eax
        (b"\x7f", "reap", 1),  # jg   reap
        (b"\xeb", "wait", 1),  # jmp  wait
        "end",
        b"\xb8\x3c\x00\x00\x00",  # mov  eax, 60        exit
        b"\x31\xff",  # xor  edi, edi
        b"\x0f\x05",  # syscall
        "set",
        _SIGNAL_SET,
    )
    return _executable(_EM_X86_64, code)


def _assembled(*parts: bytes | str | tuple[bytes, str, int]) -> bytes:
    """x86 code from bytes, labels, and instructions that end in the distance to a label (its bytes, label, width)."""
    labels: dict[str, int] = {}
    position = 0
    for part in parts:
        if isinstance(part, str):
            labels[part] = position
        else:
            position += len(part) if isinstance(part, bytes) else len(part[0]) + part[2]
    code = b""
    for part in parts:
        if isinstance(part, bytes):
            code += part
        elif isinstance(part, tuple):
            instruction, label, width = part
            end = len(code) + len(instruction) + width
            code += instruction + (labels[label] - end).to_bytes(width, "little", signed=True)
    return code


def arm64() -> bytes:
    """The program as an AArch64 executable."""
    call, minus_one = 0xD4000001, 0x92800000  # svc #0; mov x0, #-1
    equal, greater = 0x0, 0xC

    def move(register: int, value: int) -> int:
        return 0xD2800000 | value << 5 | register

    def address(register: int, label: str) -> _Branch:
        return 0x10000000 | register, label, 5, 19

    def compare(value: int) -> int:
        return 0x7100001F | value << 10  # w0 with value

    def branch_if(condition: int, label: str) -> _Branch:
        return 0x54000000 | condition, label, 5, 19

    def branch(label: str) -> _Branch:
        return 0x14000000, label, 0, 26

    code = _words(
        move(8, 135), move(0, 0), address(1, "set"), move(2, 0), move(3, _SET_BYTES), call,  # rt_sigprocmask
        "wait",
        move(8, 137), address(0, "set"), move(1, 0), move(2, 0), move(3, _SET_BYTES), call,  # rt_sigtimedwait
        compare(_SIGCHLD), branch_if(equal, "reap"),
        compare(_SIGINT), branch_if(equal, "end"),
        compare(_SIGTERM), branch_if(equal, "end"),
        branch("wait"),
        "reap",
        move(8, 260), minus_one, move(1, 0), move(2, _WNOHANG), move(3, 0), call,  # wait4
        compare(0), branch_if(greater, "reap"), branch("wait"),
        "end",
        move(8, 93), move(0, 0), call,  # exit
        "set",
    )  # fmt: skip
    return _executable(_EM_AARCH64, code + _SIGNAL_SET)


_Branch = tuple[int, str, int, int]
"""An instruction word, the label whose distance in words goes into it, and that field's lowest bit and width."""


def _words(*parts: int | str | _Branch) -> bytes:
    labels: dict[str, int] = {}
    position = 0
    for part in parts:
        if isinstance(part, str):
            labels[part] = position
        else:
            position += 1
    code: list[int] = []
    for part in parts:
        if isinstance(part, int):
            code.append(part)
        elif isinstance(part, tuple):
            word, label, shift, width = part
            code.append(word | ((labels[label] - len(code)) & ((1 << width) - 1)) << shift)
    return struct.pack(f"<{len(code)}I", *code)


def _executable(machine: int, code: bytes) -> bytes:
    """A static ELF: one segment, read and execute, and a stack that is not executable."""
    size = _HEADERS_BYTES + len(code)
    header = struct.pack(
        "<16sHHIQQQIHHHHHH",
        b"\x7fELF\x02\x01\x01", 2, machine, 1, _BASE + _HEADERS_BYTES, 64, 0, 0, 64, 56, 2, 64, 0, 0,
    )  # fmt: skip
    load = struct.pack("<IIQQQQQQ", 1, 5, 0, _BASE, _BASE, size, size, _ALIGN)
    stack = struct.pack("<IIQQQQQQ", 0x6474E551, 6, 0, 0, 0, 0, 0, 16)
    return header + load + stack + code
