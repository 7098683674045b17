"""``/``: the paths that are served."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from steersman.apiserver import respond
from steersman.apiserver.call import Call
from steersman.apiserver.health import HealthEndpoint
from steersman.apiserver.router import PathHandler
from steersman.meta.wire import Response

_ALWAYS = ("/api/v1", "/apis/", "/openapi/v3/")


def index(
    paths: Mapping[str, PathHandler], health: Iterable[HealthEndpoint], group_paths: Callable[[], list[str]]
) -> PathHandler:
    """The handler of ``/``. ``group_paths`` changes with the kinds that are served."""
    fixed = {*_ALWAYS, *(path for path in paths if path != "/")}.union(*(endpoint.listed for endpoint in health))

    async def root(call: Call) -> Response:
        return respond.value(call, {"paths": sorted({*fixed, *group_paths()})})

    return root
