"""Reviews: created, answered, never stored. The answers are given by ``reviews/``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from steersman.apiserver import respond
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.decoding import decode
from steersman.apiserver.endpoints.api import Endpoint, expected_definition, expected_kind
from steersman.apiserver.options import write_options
from steersman.apiserver.served import Served
from steersman.meta.objects import Object
from steersman.meta.wire import Response

Answer = Callable[[Object, Call], Awaitable[Object]]
"""(the review as it was sent, the call) -> the review with its status. Raises ``APIError``."""

_TOKEN_REQUEST = "io.k8s.api.authentication.v1.TokenRequest"


def reviewing(answer: Answer) -> Endpoint:
    """POST of a review of the kind that the URL names."""

    async def review(api: API, served: Served, call: Call) -> Response:
        options = write_options(call, "CreateOptions")
        form = respond.wanted(call, served)
        sent = decode(call, expected_kind(api, served), options.field_validation)
        sent.setdefault("metadata", {})
        served.kind.default(sent)
        answered = await answer(sent, call)
        return respond.value(call, answered, status=201, form=form)

    return review


def token_requesting(answer: Answer) -> Endpoint:
    """POST of ``serviceaccounts/<name>/token``."""

    async def request_token(api: API, served: Served, call: Call) -> Response:
        options = write_options(call, "CreateOptions")
        expected = expected_definition(api, "authentication.k8s.io", "v1", "TokenRequest", _TOKEN_REQUEST)
        sent = decode(call, expected, options.field_validation)
        return respond.value(call, await answer(sent, call), status=201)

    return request_token
