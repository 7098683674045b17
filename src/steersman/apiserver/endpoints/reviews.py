"""Reviews: created, answered, never stored. The answers are given by ``reviews/``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from steersman.apiserver import respond
from steersman.apiserver.admitting import admission_request
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.decoding import decode
from steersman.apiserver.endpoints.api import Endpoint, expected_definition, expected_kind
from steersman.apiserver.options import WriteOptions, write_options
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
        admitted = await _admitted(api, served, call, sent, options)
        answered = await answer(admitted, call)
        return respond.value(call, answered, status=201, form=form)

    return review


def token_requesting(answer: Answer) -> Endpoint:
    """POST of ``serviceaccounts/<name>/token``."""

    async def request_token(api: API, served: Served, call: Call) -> Response:
        options = write_options(call, "CreateOptions")
        expected = expected_definition(api, "authentication.k8s.io", "v1", "TokenRequest", _TOKEN_REQUEST)
        sent = decode(call, expected, options.field_validation)
        admitted = await _admitted(api, served, call, sent, options)
        return respond.value(call, await answer(admitted, call), status=201)

    return request_token


async def _admitted(api: API, served: Served, call: Call, sent: Object, options: WriteOptions) -> Object:
    """What admission leaves of the question. Raises what it refuses with."""
    info = call.info
    request = admission_request(
        call,
        served.kind,
        "CREATE",
        obj=sent,
        name=info.name or (sent.get("metadata") or {}).get("name") or "",
        subresource=info.subresource,
        dry_run=options.dry_run,
        options=options.as_object("CreateOptions"),
    )
    await api.admission.mutate(request)
    await api.admission.validate(request)
    return sent if request.obj is None else request.obj
