"""``componentstatuses``: deprecated, answered from what this server itself knows: its store."""

from __future__ import annotations

from steersman.apiserver import respond
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.options import list_options
from steersman.apiserver.respond import ListMeta, Unstored
from steersman.apiserver.served import Served
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.wire import Response
from steersman.store.api import StoreUnavailable

_STORE = "etcd-0"


async def _store_status(api: API) -> Object:
    try:
        await api.objects.get("/registry/health")
        condition = {"type": "Healthy", "status": "True", "message": "ok"}
    except StoreUnavailable as error:
        condition = {"type": "Healthy", "status": "False", "message": "", "error": str(error)}
    metadata = {"name": _STORE, "creationTimestamp": None}
    return {"kind": "ComponentStatus", "apiVersion": "v1", "metadata": metadata, "conditions": [condition]}


async def list_component_statuses(api: API, served: Served, call: Call) -> Response:
    options = list_options(call, watch=False)
    served.check_fields(options.fields)
    found = await _store_status(api)
    is_wanted = options.labels.matches({}) and options.fields.matches(lambda name: served.fields[name](found))
    items = [Unstored(found)] if is_wanted else []
    return respond.listing(call, served, items, ListMeta(resource_version=""), now_s=api.clock.now())


async def get_component_status(api: API, served: Served, call: Call) -> Response:
    if call.info.name != _STORE:
        raise NotFound.of(served.resource, call.info.name)
    return respond.entity(call, served, Unstored(await _store_status(api)), now_s=api.clock.now())


_conforms: tuple[Endpoint, ...] = (list_component_statuses, get_component_status)
