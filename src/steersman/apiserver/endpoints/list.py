"""GET of a collection: pages of one consistent state.

Source: "Retrieving large results sets in chunks" and "Resource versions" of the API concepts documentation.
"""

from __future__ import annotations

import asyncio

from msgspec import Struct, field
from msgspec.structs import replace

from steersman.apiserver import respond
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.continuation import INCONSISTENT, decode_continue, encode_continue, encode_start
from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.endpoints.get import TooLargeResourceVersion, require_version
from steersman.apiserver.options import ListOptions, list_options
from steersman.apiserver.resourceversion import MalformedVersion, parse_parameter
from steersman.apiserver.respond import ListMeta
from steersman.apiserver.served import Served
from steersman.meta.errors import APIError, BadRequest, Expired
from steersman.meta.wire import Response
from steersman.store.api import CompactedError, FutureRevisionError
from steersman.store.stored import Stored

SELECT_CHUNK = 500
"""Objects that are looked at before other requests get a turn."""

_EXPIRED = "The resourceVersion for the provided list is too old."
_INCONSISTENT_CONTINUE = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without the "
    "continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing "
    "with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the "
    "time the first chunk was returned and now may show up in the list."
)


class ExpiredContinuation(Expired):
    """410 whose ``metadata.continue`` goes on with what is there now."""

    def __init__(self, token: str) -> None:
        super().__init__(_INCONSISTENT_CONTINUE)
        self._token = token

    def status(self) -> dict[str, object]:
        return {**super().status(), "metadata": {"continue": self._token}}


class Page(Struct, frozen=True, kw_only=True):
    """A page of a list, before it is represented."""

    items: list[Stored] = field(default_factory=list)
    revision: int
    continue_token: str = ""
    remaining: int | None = None
    fetched: int = 0
    """How many objects were looked at, where that is more than ``items``."""


async def list_(api: API, served: Served, call: Call) -> Response:
    respond.wanted(call, served)
    options = list_options(call, watch=False)
    served.check_fields(options.fields)
    page = await read_page(api, served, call.info.namespace, options)
    resource, count = served.resource, len(page.items)
    api.storage_metrics.listed(resource.group, resource.plural, fetched=max(page.fetched, count), returned=count)
    metadata = ListMeta(
        resource_version=str(page.revision), continue_token=page.continue_token, remaining=page.remaining
    )
    return respond.listing(call, served, page.items, metadata, now_s=api.clock.now())


async def read_page(api: API, served: Served, namespace: str, options: ListOptions) -> Page:
    """The objects that ``options`` ask for. Raises ``Expired``, ``BadRequest`` and ``Timeout``."""
    namespace = namespace or options.fields.required_value("metadata.namespace") or ""
    prefix = served.collection(namespace)
    start, revision, is_continued = "", None, False
    if options.continue_token:
        continuation = decode_continue(options.continue_token, prefix)
        if options.resource_version not in ("", "0"):
            raise BadRequest("specifying resource version is not allowed when using continue")
        start, is_continued = continuation.start, True
        revision = None if continuation.revision == INCONSISTENT else continuation.revision
    elif options.resource_version not in ("", "0"):
        try:
            wanted = parse_parameter(options.resource_version)
        except MalformedVersion as error:
            raise BadRequest(f"invalid resource version: {error.message}") from error
        if options.match == "Exact" or (not options.match and options.limit > 0):
            revision = wanted
        else:
            await require_version(api, wanted)
    elif options.resource_version == "0" and options.limit:
        options = replace(options, limit=0)  # upstream answers from its watch cache, which gives all it has
    name = options.fields.required_value("metadata.name")
    try:
        if name is not None and revision is None and not is_continued and (namespace or not served.resource.namespaced):
            return await _single(api, served, namespace, name, options)
        if options.selects_everything:
            return await _all(api, served, prefix, start, revision, options)
        return await _selected(api, served, prefix, start, revision, options)
    except CompactedError as error:
        raise _expired(prefix, start, is_continued) from error
    except FutureRevisionError as error:
        raise TooLargeResourceVersion.of(revision or 0, api.objects.revision) from error


def _expired(prefix: str, start: str, is_continued: bool) -> APIError:
    if is_continued:
        return ExpiredContinuation(encode_start(start, prefix, INCONSISTENT))
    return Expired(_EXPIRED)


async def _single(api: API, served: Served, namespace: str, name: str, options: ListOptions) -> Page:
    stored = await api.objects.get(served.key(namespace, name))
    revision = api.objects.revision
    if stored is not None:
        stored = await served.loaded(stored)
    if stored is None or not matches(served, stored, options):
        return Page(revision=revision)
    return Page(items=[stored], revision=revision)


async def _all(api: API, served: Served, prefix: str, start: str, revision: int | None, options: ListOptions) -> Page:
    limit = max(options.limit, 0)
    found = await api.objects.list(prefix, start=start, limit=limit, revision=revision)
    items = list(await served.loaded_all(found.items))
    if not limit or not found.remaining or not items:
        return Page(items=items, revision=found.revision)
    token = encode_continue(items[-1].key, prefix, found.revision)
    return Page(items=items, revision=found.revision, continue_token=token, remaining=found.remaining)


async def _selected(
    api: API, served: Served, prefix: str, start: str, revision: int | None, options: ListOptions
) -> Page:
    """As many matching objects as the limit allows, looking at a chunk at a time."""
    limit = max(options.limit, 0)
    items: list[Stored] = []
    fetched = 0
    while True:
        found = await api.objects.list(prefix, start=start, limit=SELECT_CHUNK if limit else 0, revision=revision)
        revision = found.revision
        looked_at = 0
        for stored in await served.loaded_all(found.items):
            looked_at += 1
            if matches(served, stored, options):
                items.append(stored)
                if limit and len(items) == limit:
                    break
            if looked_at % SELECT_CHUNK == 0:
                await asyncio.sleep(0)
        is_end = looked_at == len(found.items) and not found.remaining
        fetched += looked_at
        if is_end:
            return Page(items=items, revision=revision, fetched=fetched)
        if limit and len(items) == limit:
            token = encode_continue(items[-1].key, prefix, revision)
            return Page(items=items, revision=revision, continue_token=token, fetched=fetched)
        start = f"{found.items[-1].key}\0"


def matches(served: Served, stored: Stored, options: ListOptions) -> bool:
    """Both selectors select the object."""
    if not options.labels.is_everything and not options.labels.matches(stored.labels):
        return False
    if options.fields.is_everything:
        return True
    obj = served.obj(stored)
    fields = served.fields
    return options.fields.matches(lambda name: fields[name](obj))


_conforms: Endpoint = list_
