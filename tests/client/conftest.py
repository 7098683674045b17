"""One API server in this process with a clock that the test owns."""

from __future__ import annotations

from tests.apiserver.conftest import client, clock, server

__all__ = ["client", "clock", "server"]
