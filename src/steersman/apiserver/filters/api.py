"""What a filter is: it sees every call before and every response after the rest of the server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from steersman.apiserver.call import Call
from steersman.meta.wire import Response

Next = Callable[[Call], Awaitable[Response]]
"""The rest of the chain."""


class Filter(Protocol):
    """Answers a call itself, or passes it on. Raises ``APIError`` to refuse."""

    NAME: str

    async def __call__(self, call: Call, following: Next) -> Response: ...
