"""DNS messages against dnspython: what it writes we read, what we write it reads."""

from __future__ import annotations

import struct

import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.dns import message
from steersman.dns.message import MalformedQuery, Record, build_response, decode_labels, encode_name, parse_question

LABELS = st.lists(
    st.from_regex(r"[a-zA-Z0-9_]([a-zA-Z0-9_-]{0,20}[a-zA-Z0-9_])?", fullmatch=True), min_size=1, max_size=6
)
TYPES = st.sampled_from((message.A, message.AAAA, message.SRV, message.PTR, message.TXT, message.ANY))


def query(name: str, kind: int = message.A, *, edns: int = -1, size: int = 1232) -> bytes:
    return dns.message.make_query(name, dns.rdatatype.RdataType(kind), use_edns=edns, payload=size).to_wire()


@given(LABELS, TYPES, st.sampled_from((0, 512, 1232, 4096)))
def test_a_question_is_read_as_dnspython_wrote_it(labels: list[str], kind: int, size: int) -> None:
    name = ".".join(labels)
    made = dns.message.make_query(name, dns.rdatatype.RdataType(kind), use_edns=0 if size else -1, payload=size or 1232)
    question = parse_question(made.to_wire())
    assert (question.id, question.type, question.klass) == (made.id, kind, message.IN)
    assert question.name == encode_name(name)
    assert decode_labels(question.name) == [label.lower() for label in labels]
    assert question.edns_bytes == size
    assert question.recursion_desired
    assert 512 <= question.udp_limit <= message.EDNS_UDP_BYTES


@given(LABELS, st.lists(st.ip_addresses(v=4), max_size=60, unique=True), st.booleans())
def test_a_response_is_read_by_dnspython_whole_or_marked_as_cut(
    labels: list[str], addresses: list[object], edns: bool
) -> None:
    asked = query(".".join(labels), edns=0 if edns else -1)
    question = parse_question(asked)
    records = [Record(message.A, 30, address.packed).encode() for address in addresses]  # type: ignore[attr-defined]
    data = build_response(question, answers=records, limit=question.udp_limit)
    assert len(data) <= question.udp_limit
    parsed = dns.message.from_wire(data)
    assert dns.message.from_wire(asked).is_response(parsed)
    found = {item.address for entry in parsed.answer for item in entry}
    if parsed.flags & dns.flags.TC:
        assert len(found) < len(addresses)
        whole = dns.message.from_wire(build_response(question, answers=records))
        found = {item.address for entry in whole.answer for item in entry}
    assert found == {str(address) for address in addresses}


@given(st.binary(max_size=80))
def test_whatever_comes_is_a_question_or_malformed(data: bytes) -> None:
    try:
        question = parse_question(data)
    except MalformedQuery as error:
        assert not error.reply or error.reply[:2] == data[:2]
    else:
        build_response(question)


@given(st.binary(max_size=40))
def test_a_damaged_question_is_a_question_or_malformed(noise: bytes) -> None:
    try:
        parse_question(struct.pack("!HHHHHH", 1, 0x0100, 1, 0, 0, 0) + noise)
    except MalformedQuery as error:
        assert dns.message.from_wire(error.reply).rcode() == message.FORMERR


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ((1, 0x2800, 1, 0, 0, 0), message.NOTIMP),
        ((1, 0, 2, 0, 0, 0), message.FORMERR),
        ((1, 0, 0, 0, 0, 0), message.FORMERR),
    ],
)
def test_what_is_no_plain_query_is_told_so(header: tuple[int, ...], code: int) -> None:
    with pytest.raises(MalformedQuery) as raised:
        parse_question(struct.pack("!HHHHHH", *header))
    assert raised.value.reply[3] & 0xF == code


def test_responses_are_not_answered_lest_two_servers_talk_for_ever() -> None:
    with pytest.raises(MalformedQuery) as raised:
        parse_question(struct.pack("!HHHHHH", 1, 0x8000, 1, 0, 0, 0))
    assert raised.value.reply == b""


@given(LABELS)
def test_names_are_encoded_as_dnspython_does(labels: list[str]) -> None:
    assert encode_name(".".join(labels)) == dns.name.from_text(".".join(labels).lower()).to_wire()


@pytest.mark.parametrize("name", ["a" * 64, "a..b", ".".join(["a" * 63] * 4)])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(ValueError):
        encode_name(name)


def test_the_longest_name_there_is_can_be_asked_for() -> None:
    name = ".".join(["a" * 63] * 3 + ["b" * 61])
    assert len(parse_question(query(name)).name) == 255
