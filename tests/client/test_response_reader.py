"""HTTP responses in whatever pieces they come."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.client.response_reader import HEAD_LIMIT_BYTES, MalformedResponse, ResponseReader
from steersman.meta.wire import Response

WITH_LENGTH = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n" + b'{"a": 12}'
CHUNKED = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nVia: a\r\nvia: b\r\n\r\n"
    b"5;name=x\r\nhe\r\nl\r\n1\r\no\r\n0\r\nTrailer: x\r\n\r\n"
)


def read(
    data: bytes, cuts: list[int] | None = None, *, is_head: bool = False
) -> tuple[Response | None, ResponseReader]:
    reader = ResponseReader(is_head=is_head)
    edges = [0, *sorted(set(cuts or ())), len(data)]
    answer = None
    for start, stop in itertools.pairwise(edges):
        if stop > start:
            assert answer is None, "complete before its last byte"
            answer = reader.feed(data[start:stop])
    return answer, reader


@given(st.lists(st.integers(0, len(WITH_LENGTH))))
def test_a_body_of_a_stated_length_in_any_pieces(cuts: list[int]) -> None:
    answer, reader = read(WITH_LENGTH, cuts)
    headers = {"content-type": "application/json", "content-length": "9"}
    assert answer == Response(status=201, headers=headers, body=b'{"a": 12}')
    assert reader.keeps_alive


@given(st.lists(st.integers(0, len(CHUNKED))))
def test_a_chunked_body_after_an_interim_response_in_any_pieces(cuts: list[int]) -> None:
    answer, reader = read(CHUNKED, cuts)
    assert answer == Response(headers={"transfer-encoding": "chunked", "via": "a, b"}, body=b"he\r\nlo")
    assert reader.keeps_alive


@pytest.mark.parametrize(
    ("data", "is_head"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n", True),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False),
        (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", False),
    ],
)
def test_answers_without_a_body(data: bytes, is_head: bool) -> None:
    answer, _ = read(data, is_head=is_head)
    assert answer is not None
    assert answer.body == b""


def test_without_a_length_the_body_goes_on_to_the_end_of_the_connection() -> None:
    answer, reader = read(b"HTTP/1.1 200 OK\r\n\r\nall of it")
    assert answer is None
    assert reader.end().body == b"all of it"
    assert not reader.keeps_alive


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nConnection: close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\nconnection: Keep-Alive\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\nHTTP/1.1 200 OK", False),
    ],
)
def test_a_connection_is_kept_where_nothing_speaks_against_it(head: bytes, expected: bool) -> None:
    answer, reader = read(head)
    assert answer is not None
    assert reader.keeps_alive is expected


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length : 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc",
        b"x" * (HEAD_LIMIT_BYTES + 1),
    ],
)
def test_what_is_no_response_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedResponse):
        read(data)


@given(st.integers(0, len(WITH_LENGTH) - 1))
def test_an_answer_that_is_cut_off_is_none(length: int) -> None:
    answer, reader = read(WITH_LENGTH[:length])
    assert answer is None
    with pytest.raises(MalformedResponse, match="the server closed the connection"):
        reader.end()
