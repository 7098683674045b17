"""DELETE of a collection: every object that the selectors select, each by its own rules."""

from __future__ import annotations

import asyncio

from steersman.apiserver import deletion, respond
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.endpoints.delete import options_of
from steersman.apiserver.endpoints.list import read_page
from steersman.apiserver.options import list_options
from steersman.apiserver.respond import ListMeta
from steersman.apiserver.served import Served
from steersman.meta.errors import NotFound
from steersman.meta.wire import Response
from steersman.store.stored import Stored

WORKERS = 16
"""Objects that are being deleted at once: enough to share a commit."""


async def deletecollection(api: API, served: Served, call: Call) -> Response:
    """Answers with the list of what was to be deleted; objects that are gone already do not matter."""
    respond.wanted(call, served)
    selection = list_options(call, watch=False)
    served.check_fields(selection.fields)
    options = options_of(call)
    deletion.warn_of_orphans(served, call, options)
    page = await read_page(api, served, call.info.namespace, selection)
    pending = iter(page.items)

    async def delete_one(stored: Stored) -> None:
        metadata = stored.obj["metadata"]
        try:
            await deletion.delete_object(api, served, call, metadata.get("namespace") or "", metadata["name"], options)
        except NotFound:
            return

    async def work() -> None:
        for stored in pending:
            await delete_one(stored)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(WORKERS, len(page.items))):
                group.create_task(work())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    metadata = ListMeta(
        resource_version=str(page.revision), continue_token=page.continue_token, remaining=page.remaining
    )
    return respond.listing(call, served, page.items, metadata, now_s=api.clock.now())


_conforms: Endpoint = deletecollection
