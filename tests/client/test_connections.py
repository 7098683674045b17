"""Keep-alive connections: used again where they can be, never where the answer could be another request's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from steersman.client.connections import ConnectionPool
from steersman.client.response_reader import MalformedResponse

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
HANG, DROP = b"hang", b"drop"


class Server:
    """Answers each request with the next of ``answers``, at last with ``OK``. ``HANG`` says nothing, ``DROP`` hangs up."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.requests: list[tuple[int, bytes]] = []
        """(number of the connection, first line)."""
        self.connections = 0
        self.asked = asyncio.Event()
        self.ended = asyncio.Event()
        """Some connection was closed by its client."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                self.requests.append((number, head.partition(b"\r\n")[0]))
                self.asked.set()
                answer = self.answers.pop(0) if self.answers else OK
                if answer == DROP:
                    break
                if answer != HANG:
                    writer.write(answer)
                if b"close" in answer:
                    break
        except asyncio.IncompleteReadError:
            self.ended.set()
        finally:
            writer.close()


@pytest.fixture
async def server() -> AsyncIterator[tuple[Server, ConnectionPool]]:
    script = Server()
    listening = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    pool = ConnectionPool("127.0.0.1", listening.sockets[0].getsockname()[1], tls=None)
    yield script, pool
    await pool.close()
    listening.close()
    await listening.wait_closed()


Given = tuple[Server, ConnectionPool]


async def ask(pool: ConnectionPool, method: str = "GET") -> bytes:
    answer = await asyncio.wait_for(pool.request(method, f"{method} / HTTP/1.1\r\nhost: x\r\n\r\n".encode(), b""), 10)
    return answer.body


async def test_one_after_another_share_a_connection_and_those_at_once_do_not(server: Given) -> None:
    script, pool = server
    assert [await ask(pool), await ask(pool)] == [b"ok", b"ok"]
    assert script.connections == 1
    await asyncio.gather(ask(pool), ask(pool), ask(pool))
    assert script.connections == 3


async def test_a_connection_that_the_server_closes_with_its_answer_is_not_used_again(server: Given) -> None:
    script, pool = server
    script.answers = [b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok", OK]
    await ask(pool)
    await ask(pool)
    assert [number for number, _ in script.requests] == [1, 2]


async def test_a_read_is_sent_again_where_an_idle_connection_ended_under_it(server: Given) -> None:
    script, pool = server
    script.answers = [OK, DROP, OK]
    await ask(pool)
    assert await ask(pool) == b"ok"
    assert [number for number, _ in script.requests] == [1, 1, 2]


async def test_a_post_is_never_sent_twice(server: Given) -> None:
    script, pool = server
    script.answers = [OK, DROP]
    await ask(pool, "POST")
    with pytest.raises(MalformedResponse, match="the server closed the connection"):
        await ask(pool, "POST")
    assert len(script.requests) == 2


async def test_a_read_whose_answer_has_begun_is_not_sent_again(server: Given) -> None:
    script, pool = server
    script.answers = [OK, b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 9\r\n\r\nok"]
    await ask(pool)
    with pytest.raises(MalformedResponse):
        await ask(pool)
    assert len(script.requests) == 2


async def test_a_request_that_is_given_up_leaves_no_connection_behind(server: Given) -> None:
    script, pool = server
    script.answers = [HANG, OK]
    waiting = asyncio.create_task(ask(pool))
    await asyncio.wait_for(script.asked.wait(), 10)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.wait_for(script.ended.wait(), 10)
    assert await ask(pool) == b"ok"
    assert [number for number, _ in script.requests] == [1, 2]


async def test_closing_fails_what_is_under_way(server: Given) -> None:
    script, pool = server
    script.answers = [HANG]
    waiting = asyncio.create_task(ask(pool))
    await asyncio.wait_for(script.asked.wait(), 10)
    await pool.close()
    with pytest.raises(OSError, match="closed"):
        await waiting
