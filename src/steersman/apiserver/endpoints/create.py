"""POST to a collection."""

from __future__ import annotations

from steersman.apiserver import respond
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.creation import create_object
from steersman.apiserver.decoding import decode
from steersman.apiserver.endpoints.api import Endpoint, expected_kind
from steersman.apiserver.options import write_options
from steersman.apiserver.served import Served
from steersman.meta.wire import Response


async def create(api: API, served: Served, call: Call) -> Response:
    respond.wanted(call, served)
    options = write_options(call, "CreateOptions")
    obj = decode(call, expected_kind(api, served), options.field_validation)
    created = await create_object(api, served, call, obj, options)
    return respond.entity(call, served, created, now_s=api.clock.now(), status=201)


_conforms: Endpoint = create
