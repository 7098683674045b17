"""``pods/exec``, ``pods/attach``, ``pods/portforward``: the kubelet and the client talk, this server passes bytes on.

WebSocket (v4 and v5 channels, tunnelled port-forward) and SPDY/3.1 are the business of both ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.endpoints.connect import admit_connect, authorize_upgrade, connect_options
from steersman.apiserver.proxying.backend import is_upgrade
from steersman.apiserver.proxying.locations import container_of
from steersman.apiserver.served import Served
from steersman.meta.errors import BadRequest
from steersman.meta.objects import Object
from steersman.meta.wire import Response

_STREAMS: Mapping[str, str] = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
"""Options of exec and attach -> what the kubelet calls them."""


async def exec_(api: API, served: Served, call: Call) -> Response:
    options = await _admitted(api, served, call, "PodExecOptions")
    commands = options.get("command") or []
    if not commands:
        raise BadRequest("you must specify at least one command for the container")
    query = [*_streams(options), *(("command", str(command)) for command in commands)]
    if not any(name in ("input", "output", "error") for name, _ in query):
        raise BadRequest("you must specify at least one of stdin, stdout, stderr")
    return await _container(api, call, "exec", query, options)


async def attach(api: API, served: Served, call: Call) -> Response:
    options = await _admitted(api, served, call, "PodAttachOptions")
    wanted = {option: True for option in ("stdout", "stderr") if not call.query(option)}
    return await _container(api, call, "attach", _streams({**wanted, **options}), options)


async def portforward(api: API, served: Served, call: Call) -> Response:
    options = await _admitted(api, served, call, "PodPortForwardOptions")
    pod = api.locations.pod(call.info.namespace, call.info.name)
    node = api.locations.pod_node(pod)
    ports = options.get("ports") or []
    query = urlencode([("port", ",".join(map(str, ports)))]) if ports else ""
    path = f"/portForward/{call.info.namespace}/{call.info.name}"
    return await _upgrade(api, call, node, path, query)


async def _admitted(api: API, served: Served, call: Call, kind: str) -> Object:
    """The options of the stream, once the user may have it and admission has let it through."""
    options = connect_options(call, kind)
    await authorize_upgrade(api, call)
    return await admit_connect(api, served, call, options)


def _streams(options: Object) -> list[tuple[str, str]]:
    return [(parameter, "1") for option, parameter in _STREAMS.items() if options.get(option)]


async def _container(api: API, call: Call, verb: str, query: list[tuple[str, str]], options: Object) -> Response:
    pod = api.locations.pod(call.info.namespace, call.info.name)
    container = container_of(pod, options.get("container") or "")
    node = api.locations.pod_node(pod)
    path = f"/{verb}/{call.info.namespace}/{call.info.name}/{container}"
    return await _upgrade(api, call, node, path, urlencode(query))


async def _upgrade(api: API, call: Call, node: str, path: str, query: str) -> Response:
    if not is_upgrade(call):
        raise BadRequest("Upgrade request required")
    target = api.locations.kubelet(node, path, query)
    return await api.backends.upgrade(call, target)


ROWS: Mapping[tuple[str, str, str], Mapping[str, Endpoint]] = {
    ("", "pods", name): {"get": endpoint, "create": endpoint}
    for name, endpoint in (("exec", exec_), ("attach", attach), ("portforward", portforward))
}
