"""What endpoints that hand a connection over share: options, admission of a CONNECT, and the second look at who may upgrade."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from steersman.apiserver.admitting import admission_request
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.filters.authorization import attributes_of, forbidden
from steersman.apiserver.requestinfo import parse_bool
from steersman.apiserver.served import Served
from steersman.meta.errors import BadRequest
from steersman.meta.objects import Object

_Parse = Callable[[Sequence[str]], Any]


def _flag(values: Sequence[str]) -> bool:
    """Present but empty is true, and anything that is not false is."""
    return parse_bool(values[0]) is not False


def _text(values: Sequence[str]) -> str:
    return values[0]


def _numbers(values: Sequence[str]) -> list[int]:
    numbers = []
    for text in (part for value in values for part in value.split(",")):
        if not (text.isascii() and text.isdigit()):
            raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax')
        numbers.append(int(text))
    return numbers


_STREAMS: Mapping[str, _Parse] = {"stdin": _flag, "stdout": _flag, "stderr": _flag, "tty": _flag, "container": _text}
_FIELDS: Mapping[str, Mapping[str, _Parse]] = {
    "PodAttachOptions": _STREAMS,
    "PodExecOptions": {**_STREAMS, "command": list},
    "PodPortForwardOptions": {"ports": _numbers},
    "PodProxyOptions": {"path": _text},
    "ServiceProxyOptions": {"path": _text},
    "NodeProxyOptions": {"path": _text},
}
"""What the options of a CONNECT have, by their kind, and how each is read from query parameters."""


def connect_options(call: Call, kind: str) -> Object:
    """The options of the call as an object of ``kind`` (PodExecOptions, …). Raises ``BadRequest``."""
    options: Object = {"kind": kind, "apiVersion": "v1"}
    for name, parse in _FIELDS[kind].items():
        values = call.request.query.get(name)
        if not values:
            continue
        value = parse(values)
        if value:
            options[name] = value
    return options


async def admit_connect(api: API, served: Served, call: Call, options: Object) -> Object:
    """Ask admission about a CONNECT; the options as it leaves them. Raises what it refuses with."""
    if call.request.query.get("dryRun"):
        raise BadRequest("dryRun is not supported")
    request = admission_request(call, served.kind, "CONNECT", obj=options, subresource=call.info.subresource)
    await api.admission.mutate(request)
    await api.admission.validate(request)
    return options if request.obj is None else request.obj


async def authorize_upgrade(api: API, call: Call) -> None:
    """WebSockets come as GET; what they do is a create, and needs that permission (v1.35). Raises ``Forbidden``."""
    if call.request.method != "GET":
        return
    attributes = replace(attributes_of(call), verb="create")
    decision = await api.authorizer.authorize(attributes)
    if not decision.allowed:
        raise forbidden(attributes, decision.reason)
