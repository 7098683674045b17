"""DNS messages as far as the hot path needs them: read a question, write an answer (RFC 1035, EDNS(0) of RFC 6891).

Answers are assembled from records that were encoded when the objects changed, so that a query costs a dictionary look-up and
a few joins. Everything unusual is left to dnspython, off this path.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

A: Final = 1
NS: Final = 2
CNAME: Final = 5
SOA: Final = 6
PTR: Final = 12
TXT: Final = 16
AAAA: Final = 28
SRV: Final = 33
OPT: Final = 41
ANY: Final = 255
IN: Final = 1

NOERROR: Final = 0
FORMERR: Final = 1
SERVFAIL: Final = 2
NXDOMAIN: Final = 3
NOTIMP: Final = 4
REFUSED: Final = 5

PLAIN_UDP_BYTES: Final = 512
EDNS_UDP_BYTES: Final = 1232
"""What we send at most over UDP, whatever a client offers: it fits every path's MTU."""
TCP_BYTES: Final = 65535

_HEADER = struct.Struct("!HHHHHH")
_POINTER_TO_QUESTION = b"\xc0\x0c"
_OPT_RECORD = b"\x00" + struct.pack("!HHIH", OPT, EDNS_UDP_BYTES, 0, 0)


class MalformedQuery(Exception):
    """Not a DNS query that can be answered; ``reply`` is what to send back, empty for nothing."""

    def __init__(self, reply: bytes = b"") -> None:
        super().__init__("malformed DNS query")
        self.reply = reply


class Question(Struct, frozen=True):
    """One query."""

    id: int
    name: bytes
    """In lower case, in wire form: length-prefixed labels with the empty one at the end."""
    type: int
    klass: int
    raw: bytes
    """The question section as it came: names keep the client's spelling."""
    recursion_desired: bool
    edns_bytes: int
    """The UDP size the client offers; 0 where it does not speak EDNS."""

    @property
    def udp_limit(self) -> int:
        return PLAIN_UDP_BYTES if not self.edns_bytes else max(PLAIN_UDP_BYTES, min(self.edns_bytes, EDNS_UDP_BYTES))


class Record(Struct, frozen=True):
    """One record, encoded. An empty ``name`` is the question's."""

    type: int
    ttl_s: int
    data: bytes
    name: bytes = b""

    def encode(self) -> bytes:
        owner = self.name or _POINTER_TO_QUESTION
        return owner + struct.pack("!HHIH", self.type, IN, self.ttl_s, len(self.data)) + self.data


def parse_question(data: bytes) -> Question:
    """The single question of a query. Raises ``MalformedQuery``."""
    if len(data) < 12:
        raise MalformedQuery
    identity, flags, questions, answers, authorities, additional = _HEADER.unpack_from(data)
    if flags & 0x8000:
        raise MalformedQuery
    opcode = (flags >> 11) & 0xF
    if opcode != 0:
        raise MalformedQuery(_error(identity, flags, NOTIMP))
    if questions != 1 or answers or authorities:
        raise MalformedQuery(_error(identity, flags, FORMERR))
    position = 12
    while True:
        if position >= len(data):
            raise MalformedQuery(_error(identity, flags, FORMERR))
        length = data[position]
        position += 1
        if length == 0:
            break
        if length > 63 or position - 12 > 255:
            raise MalformedQuery(_error(identity, flags, FORMERR))
        position += length
    if position + 4 > len(data):
        raise MalformedQuery(_error(identity, flags, FORMERR))
    kind, klass = struct.unpack_from("!HH", data, position)
    end = position + 4
    return Question(
        id=identity,
        name=data[12:position].lower(),
        type=kind,
        klass=klass,
        raw=data[12:end],
        recursion_desired=bool(flags & 0x0100),
        edns_bytes=_edns_bytes(data, end, additional),
    )


def _edns_bytes(data: bytes, position: int, count: int) -> int:
    if count and len(data) >= position + 11 and data[position] == 0:
        kind, size = struct.unpack_from("!HH", data, position + 1)
        if kind == OPT:
            return int(size)
    return 0


def build_response(
    question: Question,
    *,
    answers: Sequence[bytes] = (),
    authority: Sequence[bytes] = (),
    additional: Sequence[bytes] = (),
    code: int = NOERROR,
    authoritative: bool = True,
    limit: int = TCP_BYTES,
) -> bytes:
    """A response of encoded records. What is too long for ``limit`` is cut and marked, so that the client asks over TCP."""
    flags = 0x8080 | code
    if authoritative:
        flags |= 0x0400
    if question.recursion_desired:
        flags |= 0x0100
    options = (_OPT_RECORD,) if question.edns_bytes else ()
    body = b"".join((question.raw, *answers, *authority, *additional, *options))
    if 12 + len(body) > limit:
        if additional:
            return build_response(
                question, answers=answers, authority=authority, code=code, authoritative=authoritative, limit=limit
            )
        room = limit - 12 - len(question.raw) - sum(map(len, options))
        kept: list[bytes] = []
        for answer in answers:
            room -= len(answer)
            if room < 0:
                break
            kept.append(answer)
        body = b"".join((question.raw, *kept, *options))
        header = _HEADER.pack(question.id, flags | 0x0200, 1, len(kept), 0, len(options))
        return header + body
    counts = (1, len(answers), len(authority), len(additional) + len(options))
    return _HEADER.pack(question.id, flags, *counts) + body


def _error(identity: int, flags: int, code: int) -> bytes:
    return _HEADER.pack(identity, 0x8000 | (flags & 0x7900) | code, 0, 0, 0, 0)


def encode_name(name: str) -> bytes:
    """``a.b.c`` in wire form, lower case. Raises ``ValueError`` for labels or names that are too long."""
    encoded = bytearray()
    for label in name.rstrip(".").split("."):
        data = label.lower().encode("ascii")
        if not 0 < len(data) < 64:
            raise ValueError(f"{name!r} is not a DNS name")
        encoded.append(len(data))
        encoded += data
    encoded.append(0)
    if len(encoded) > 255:
        raise ValueError(f"{name!r} is too long for a DNS name")
    return bytes(encoded)


def decode_labels(name: bytes) -> list[str]:
    """The labels of a name in wire form, without the root."""
    labels, position = [], 0
    while name[position]:
        length = name[position]
        labels.append(name[position + 1 : position + 1 + length].decode("ascii", "replace"))
        position += 1 + length
    return labels


def service_data(port: int, target: bytes, *, priority: int = 0, weight: int = 100) -> bytes:
    """The data of an SRV record."""
    return struct.pack("!HHH", priority, weight, port) + target


def text_data(text: str) -> bytes:
    """The data of a TXT record of one string."""
    data = text.encode()
    return bytes([len(data)]) + data


def authority_data(zone: bytes, *, serial: int, negative_ttl_s: int) -> bytes:
    """The data of the zone's SOA record."""
    server, mailbox = b"\x02ns\x03dns" + zone, b"\x0ahostmaster" + zone
    return server + mailbox + struct.pack("!IIIII", serial & 0xFFFFFFFF, 7200, 1800, 86400, negative_ttl_s)
