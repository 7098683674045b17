"""Audit: a sink sees every call when it arrives and when it is answered."""

from __future__ import annotations

from typing import Protocol

from steersman.apiserver.call import Call
from steersman.apiserver.filters.api import Filter, Next
from steersman.meta.errors import APIError
from steersman.meta.wire import Response


class AuditSink(Protocol):
    """Takes audit events. Called synchronously: it must not block."""

    def received(self, call: Call) -> None:
        """Stage RequestReceived."""

    def completed(self, call: Call, status: int) -> None:
        """Stage ResponseComplete, or ResponseStarted for watches and streams."""


class AuditFilter:
    NAME = "audit"

    def __init__(self, sink: AuditSink) -> None:
        self._sink = sink

    async def __call__(self, call: Call, following: Next) -> Response:
        self._sink.received(call)
        try:
            response = await following(call)
        except APIError as error:
            self._sink.completed(call, error.http_code)
            raise
        except BaseException:
            self._sink.completed(call, 500)
            raise
        self._sink.completed(call, response.status)
        return response


def _conforms(sink: AuditSink) -> Filter:
    return AuditFilter(sink)
