"""DELETE of one object."""

from __future__ import annotations

from steersman.apiserver import deletion, respond
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.decoding import parse_body
from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.negotiation import body_media_type
from steersman.apiserver.options import DeleteOptions, delete_options
from steersman.apiserver.served import Served
from steersman.meta.errors import BadRequest
from steersman.meta.objects import Object
from steersman.meta.wire import Response
from steersman.schema.structural import compiled

_KIND = "DeleteOptions"
_DEFINITION = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"


def options_of(call: Call) -> DeleteOptions:
    """DeleteOptions from the body or the query. Every group has a kind of that name; which one a body names is the same."""
    if not call.request.body and call.request.content is None:
        return delete_options(call, None)
    media_type = body_media_type(call.header("content-type"))
    body = parse_body(call, media_type, what=_KIND, find_duplicates=False).value
    if not isinstance(body, dict) or body.get("kind", _KIND) != _KIND:
        raise BadRequest("decoded object cannot be converted to DeleteOptions")
    options = delete_options(call, compiled(_DEFINITION).decode(body))
    if call.audit is not None:
        call.audit.patched(body)
    return options


async def delete(api: API, served: Served, call: Call) -> Response:
    respond.wanted(call, served)
    options = options_of(call)
    deletion.warn_of_orphans(served, call, options)
    deleted = await deletion.delete_object(api, served, call, call.info.namespace, call.info.name, options)
    status = 202 if not deleted.is_gone and options.orphan_dependents is False else 200
    if deleted.is_gone and not served.kind.delete_returns_object:
        body: Object = deletion.success(served, deleted.entity.obj)
        return respond.value(call, body, status=status)
    return respond.entity(call, served, deleted.entity, now_s=api.clock.now(), status=status)


_conforms: Endpoint = delete
