"""The request core: a request value in, a response value out, failures included. It knows neither sockets nor HTTP."""

from __future__ import annotations

import asyncio
import logging
import random

from steersman.aio.clock import Clock
from steersman.apiserver import respond
from steersman.apiserver.call import Call
from steersman.apiserver.filters.api import Next
from steersman.apiserver.metrics.requests import RequestMetrics
from steersman.apiserver.objectmeta import new_uid
from steersman.apiserver.requestinfo import request_info
from steersman.meta.errors import APIError, InternalError, RequestEntityTooLarge, ServiceUnavailable
from steersman.meta.wire import Handler, Request, Response
from steersman.store.api import StoreUnavailable

log = logging.getLogger(__name__)


class Core:
    """Runs each request through the chain and turns what it raises into the Status that upstream would send."""

    def __init__(
        self, chain: Next, *, clock: Clock, rng: random.Random, metrics: RequestMetrics, max_body_bytes: int
    ) -> None:
        self._chain = chain
        self._clock = clock
        self._rng = rng
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes

    async def __call__(self, request: Request) -> Response:
        call = Call(
            request=request,
            info=request_info(request),
            received_s=self._clock.monotonic(),
            audit_id=request.headers.get("audit-id") or new_uid(self._rng),
        )
        try:
            if len(request.body) > self._max_body_bytes:
                raise RequestEntityTooLarge(f"Request entity too large: limit is {self._max_body_bytes}")
            response = await self._chain(call)
        except APIError as error:
            response = respond.failure(call, error)
        except StoreUnavailable as error:
            response = respond.failure(call, ServiceUnavailable(str(error), retry_after_s=1))
        except asyncio.CancelledError:
            self._metrics.aborted(call)
            raise
        except Exception as error:
            log.exception("%s %s failed", request.method, request.path)
            response = respond.failure(call, InternalError(f"Internal error occurred: {error}"))
        return self._metrics.answered(call, response)


def _conforms(chain: Next, clock: Clock, rng: random.Random, metrics: RequestMetrics) -> Handler:
    return Core(chain, clock=clock, rng=rng, metrics=metrics, max_body_bytes=0)
