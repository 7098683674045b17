"""``pods/log``: what a container has written, from its kubelet, as it comes."""

from __future__ import annotations

from urllib.parse import urlencode

from steersman.apiserver import respond, websocketstreams
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.proxying.backend import BackendError, DialError
from steersman.apiserver.proxying.locations import container_of
from steersman.apiserver.requestinfo import parse_bool
from steersman.apiserver.served import Served
from steersman.meta import times
from steersman.meta.errors import (
    APIError,
    BadRequest,
    FieldError,
    Invalid,
    forbidden,
    from_status,
    invalid,
)
from steersman.meta.wire import Response

ERROR_LIMIT_BYTES = 16 * 1024
_REASONS = {400: "BadRequest", 404: "NotFound", 500: "InternalError"}
_FLAGS = ("follow", "previous", "timestamps")


async def log(api: API, served: Served, call: Call) -> Response:
    query = _options(call)
    pod = api.locations.pod(call.info.namespace, call.info.name)
    container = container_of(pod, call.query("container"))
    node = pod["spec"].get("nodeName")
    if not node:
        headers = respond.headers(call, "")
        del headers["content-type"]
        return Response(status=204, headers=headers)
    path = f"/containerLogs/{call.info.namespace}/{call.info.name}/{container}"
    target = api.locations.kubelet(node, path, urlencode(query))
    try:
        answer = await api.backends.request(call, target, headers={"accept": "*/*"}, method="GET")
    except BackendError as error:
        raise DialError(f'Get "{target.url}": {error.why}') from error
    if answer.status >= 400:
        raise await _failure(answer)
    if websocketstreams.wants_websocket(call) and answer.stream is not None:
        return websocketstreams.of_bytes(call, answer.stream)
    headers = respond.headers(call, "text/plain")
    return Response(status=answer.status, headers=headers, stream=answer.stream)


async def _failure(answer: Response) -> APIError:
    """The kubelet's words, under its code."""
    text = b""
    if answer.stream is not None:
        async for chunk in answer.stream:
            text += chunk
            if len(text) > ERROR_LIMIT_BYTES:
                break
    message = text.decode(errors="replace").strip() or f"the kubelet answered with status {answer.status}"
    return from_status({"message": message, "reason": _REASONS.get(answer.status, "Unknown"), "code": answer.status})


def _options(call: Call) -> list[tuple[str, str]]:
    """PodLogOptions as the kubelet takes them. Raises ``Invalid``."""
    query: list[tuple[str, str]] = [(name, "true") for name in _FLAGS if parse_bool(call.query(name)) is True]
    errors: list[FieldError] = []
    for name, lowest in (("sinceSeconds", 1), ("tailLines", 0), ("limitBytes", 1)):
        text = call.query(name)
        if not text:
            continue
        if not text.lstrip("+-").isdigit():
            raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        if int(text) < lowest:
            bound = "must be greater than or equal to 0" if lowest == 0 else "must be greater than 0"
            errors.append(invalid(name, int(text), bound))
        query.append((name, text))
    since = call.query("sinceTime")
    if since:
        try:
            query.append(("sinceTime", times.format_time(times.parse_time(since))))
        except ValueError as error:
            raise BadRequest(str(error)) from error
        if call.query("sinceSeconds"):
            errors.append(forbidden("sinceTime", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    if call.query("stream"):  # behind a feature gate that is off by default
        errors.append(forbidden("stream", "may not be specified"))
    if errors:
        raise Invalid.of("PodLogOptions", "", call.info.name, errors)
    return query


_conforms: Endpoint = log
