"""GET of one object."""

from __future__ import annotations

from steersman.apiserver import resourceversion, respond
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.served import Served
from steersman.meta.errors import NotFound, Timeout
from steersman.meta.wire import Response
from steersman.store.api import FutureRevisionError


async def get(api: API, served: Served, call: Call) -> Response:
    """Always the latest: a ``resourceVersion`` only asks for something not older."""
    respond.wanted(call, served)
    info = call.info
    key = served.key(info.namespace, info.name)
    version = call.query("resourceVersion") if call.request.query else ""
    if version and version != "0":
        await require_version(api, resourceversion.parse_parameter(version))
    stored = await api.objects.get(key)
    if stored is None:
        raise NotFound.of(served.resource, info.name)
    stored = await served.loaded(stored)
    return respond.entity(call, served, stored, now_s=api.clock.now())


async def require_version(api: API, version: int) -> None:
    """Raises ``Timeout`` with upstream's words where the server is not at ``version``."""
    if version <= api.objects.revision:
        return
    try:
        await api.objects.get("/registry/", revision=version)
    except FutureRevisionError as error:
        raise TooLargeResourceVersion.of(version, api.objects.revision) from error


class TooLargeResourceVersion(Timeout):
    """504: the client has seen a version that this server has not."""

    @classmethod
    def of(cls, wanted: int, current: int) -> TooLargeResourceVersion:
        return cls(
            f"Timeout: Too large resource version: {wanted}, current: {current}",
            details={
                "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
                "retryAfterSeconds": 1,
            },
            retry_after_s=1,
        )


_conforms: Endpoint = get
