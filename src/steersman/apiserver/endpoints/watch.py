"""GET of a collection with ``watch=true``: its changes, as they happen.

Source: "Efficient detection of changes" and "Streaming lists" of the API concepts documentation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from msgspec.structs import replace

from steersman.apiserver import resourceversion, respond, websocketstreams
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.endpoints.api import Endpoint
from steersman.apiserver.endpoints.get import require_version
from steersman.apiserver.endpoints.list import read_page
from steersman.apiserver.metrics.requests import scope_of
from steersman.apiserver.negotiation import JSON, PROTOBUF, Representation
from steersman.apiserver.options import ListOptions, list_options
from steersman.apiserver.served import Served
from steersman.apiserver.watching import FrameMaker, PlainFrames, ShapedFrames, Watch
from steersman.meta.errors import NotAcceptable
from steersman.meta.objects import Object
from steersman.meta.selectors import FieldSelector
from steersman.meta.wire import Response
from steersman.schema import tables
from steersman.store.stored import Stored

_CONTENT_TYPES: Mapping[str, str] = {JSON: JSON, PROTOBUF: f"{PROTOBUF};stream=watch"}
"""Of a watch, by the media type of its objects."""


async def watch(api: API, served: Served, call: Call) -> Response:
    form = respond.wanted(call, served)
    content_type = _CONTENT_TYPES.get(form.media_type)
    if content_type is None:
        accepted = ", ".join(f"{media_type};stream=watch" for media_type in _CONTENT_TYPES)
        raise NotAcceptable(f"only the following media types are accepted: {accepted}")
    options = _of_one_object(call.info.name, list_options(call, watch=True))
    served.check_fields(options.fields)
    timeout_s = float(options.timeout_s or 0)
    if timeout_s <= 0:
        timeout_s = api.config.min_request_timeout_s * (api.rng.random() + 1.0)
    initial, revision = await _start(api, served, call.info.namespace, options)
    subscription = served.changes(
        api.objects.watch(_prefix(served, call.info.namespace, options), start_revision=revision)
    )
    changes = Watch(
        served=served,
        options=options,
        subscription=subscription,
        initial=initial,
        frames=_frames(api, served, call, form),
        timer=api.watches,
        clock=api.clock,
        timeout_s=timeout_s,
        bookmark_interval_s=api.config.watch_bookmark_interval_s,
        meter=api.watch_metrics.of(served.resource),
        scope=scope_of(call.info),
        received_s=call.received_s,
    )
    if websocketstreams.wants_websocket(call):
        return websocketstreams.of_frames(call, _frame_by_frame(changes), is_text=form.media_type == JSON)
    return Response(headers=respond.headers(call, content_type), watch=changes)


async def _frame_by_frame(changes: Watch) -> AsyncIterator[bytes]:
    try:
        async for batch in changes:
            for frame in batch:
                yield frame.data
    finally:
        await changes.aclose()


def _of_one_object(name: str, options: ListOptions) -> ListOptions:
    """The deprecated ``/watch/…/<name>`` restricts a watch as a field selector does."""
    if not name or options.fields.required_value("metadata.name") == name:
        return options
    return replace(options, fields=FieldSelector((*options.fields.terms, ("metadata.name", True, name))))


def _prefix(served: Served, namespace: str, options: ListOptions) -> str:
    """What is watched: everything, one namespace, or one object; the selectors still have the last word."""
    namespace = namespace or options.fields.required_value("metadata.namespace") or ""
    name = options.fields.required_value("metadata.name")
    if name and (namespace or not served.resource.namespaced):
        return served.key(namespace, name)
    return served.collection(namespace)


async def _start(api: API, served: Served, namespace: str, options: ListOptions) -> tuple[Sequence[Stored], int]:
    """The objects that the client is sent first, and the revision after which changes follow."""
    version = resourceversion.parse_parameter(options.resource_version)
    if options.send_initial_events:
        if version:
            await require_version(api, version)
    elif version:  # also one that is still to come: its watch is silent until then
        return (), version
    elif options.send_initial_events is False:
        return (), api.objects.revision
    everything = ListOptions(labels=options.labels, fields=options.fields)
    page = await read_page(api, served, namespace, everything)
    return page.items, page.revision


def _frames(api: API, served: Served, call: Call, form: Representation) -> FrameMaker:
    if not form.shape:
        return PlainFrames(served, form, decoded=call.is_in_process)
    if form.shape != "Table":
        return ShapedFrames(served, form, lambda obj, first: tables.partial(obj, form.shape_version), is_shared=True)

    def as_table(obj: Object, first: bool) -> Object:
        metadata = {"resourceVersion": obj["metadata"].get("resourceVersion", "")}
        return respond.table(call, served, [obj], metadata, now_s=api.clock.now(), headers=first)

    return ShapedFrames(served, form, as_table)


_conforms: Endpoint = watch
