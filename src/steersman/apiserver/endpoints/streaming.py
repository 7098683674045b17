"""``pods/exec``, ``pods/attach``, ``pods/portforward``: the kubelet and the client talk, this server passes bytes on.

WebSocket (v4 and v5 channels, tunnelled port-forward) and SPDY/3.1 are the business of both ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.endpoints.connect import admit_connect, authorize_upgrade
from steersman.apiserver.proxying.backend import is_upgrade
from steersman.apiserver.proxying.locations import container_of
from steersman.apiserver.requestinfo import parse_bool
from steersman.apiserver.served import Served
from steersman.meta.errors import BadRequest
from steersman.meta.wire import Response

_STREAMS: Mapping[str, str] = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
"""Options of exec and attach -> what the kubelet calls them."""


def _streams(call: Call, *, defaults: bool) -> list[tuple[str, str]]:
    """``defaults``: of exec and attach, stdout and stderr are wanted unless said otherwise."""
    wanted = []
    for option, parameter in _STREAMS.items():
        text = call.query(option)
        default = defaults and option in ("stdout", "stderr")
        if parse_bool(text) is True or (default and not text):
            wanted.append((parameter, "1"))
    return wanted


async def exec_(api: API, served: Served, call: Call) -> Response:
    commands = call.request.query.get("command") or []
    if not commands:
        raise BadRequest("you must specify at least one command for the container")
    query = [*_streams(call, defaults=False), *(("command", command) for command in commands)]
    if not any(name in ("input", "output", "error") for name, _ in query):
        raise BadRequest("you must specify at least one of stdin, stdout, stderr")
    return await _container(api, served, call, "exec", query, "PodExecOptions")


async def attach(api: API, served: Served, call: Call) -> Response:
    query = _streams(call, defaults=True)
    return await _container(api, served, call, "attach", query, "PodAttachOptions")


async def portforward(api: API, served: Served, call: Call) -> Response:
    pod = api.locations.pod(call.info.namespace, call.info.name)
    node = api.locations.pod_node(pod)
    ports = call.request.query.get("ports") or []
    query = urlencode([("port", ",".join(ports))]) if ports else ""
    path = f"/portForward/{call.info.namespace}/{call.info.name}"
    return await _upgrade(api, served, call, node, path, query, "PodPortForwardOptions")


async def _container(
    api: API, served: Served, call: Call, verb: str, query: list[tuple[str, str]], kind: str
) -> Response:
    pod = api.locations.pod(call.info.namespace, call.info.name)
    container = container_of(pod, call.query("container"))
    node = api.locations.pod_node(pod)
    path = f"/{verb}/{call.info.namespace}/{call.info.name}/{container}"
    return await _upgrade(api, served, call, node, path, urlencode(query), kind)


async def _upgrade(api: API, served: Served, call: Call, node: str, path: str, query: str, kind: str) -> Response:
    await authorize_upgrade(api, call)
    await admit_connect(api, served, call, kind)
    if not is_upgrade(call):
        raise BadRequest("Upgrade request required")
    target = api.locations.kubelet(node, path, query)
    return await api.backends.upgrade(call, target)


ROWS: Mapping[tuple[str, str, str], Mapping[str, Endpoint]] = {
    ("", "pods", name): {"get": endpoint, "create": endpoint}
    for name, endpoint in (("exec", exec_), ("attach", attach), ("portforward", portforward))
}
