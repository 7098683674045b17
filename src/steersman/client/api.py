"""The client: Kubernetes' verbs on resources, objects as plain dicts, failures as the classes of ``meta.errors``."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast

import msgspec
from msgspec import Struct

from steersman.aio.clock import Clock
from steersman.client.ratelimit import RateLimited
from steersman.client.transport import Transport, Unreachable
from steersman.meta import objects
from steersman.meta.errors import APIError, OtherStatus, TooManyRequests, from_status
from steersman.meta.objects import Object
from steersman.meta.resources import Resource
from steersman.meta.wire import Request, Response, WatchFrame

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_MERGE_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"

PARTIAL = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

Query = dict[str, list[str]]
_ENCODER = msgspec.json.Encoder()


class ObjectList(Struct, frozen=True, kw_only=True):
    """One page of a list. The items may be shared with a cache: do not change them."""

    items: Sequence[Object]
    resource_version: str
    continue_token: str = ""
    remaining: int | None = None


class WatchEvent(Struct, frozen=True, kw_only=True):
    """``type`` is ADDED, MODIFIED, DELETED or BOOKMARK. The object is shared: do not change it."""

    type: str
    object: Object


class Client:
    """Verbs of the Kubernetes API over a transport. Safe to share by any number of tasks of one event loop."""

    def __init__(self, transport: Transport, *, user_agent: str = "steersman/v1.36.0") -> None:
        self._transport = transport
        self._headers = {"user-agent": user_agent, "accept": "application/json"}

    def with_user_agent(self, user_agent: str) -> Client:
        """The same connections under another name, as each component introduces itself."""
        return Client(self._transport, user_agent=user_agent)

    def limited(self, *, qps: float, burst: int, clock: Clock) -> Client:
        """The same connections, asked at most so often."""
        client = Client(RateLimited(self._transport, qps=qps, burst=burst, clock=clock))
        client._headers = self._headers
        return client

    async def close(self) -> None:
        await self._transport.close()

    async def get(
        self, resource: Resource, name: str, *, namespace: str = "", subresource: str = "", resource_version: str = ""
    ) -> Object:
        """One object. Raises ``NotFound``."""
        query = _query(resourceVersion=resource_version)
        return await self._object("GET", resource.path(namespace, name, subresource), query=query)

    async def list(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str = "",
        resource_version_match: str = "",
        metadata_only: bool = False,
    ) -> ObjectList:
        """One page; everything where ``limit`` is 0. Raises ``Expired`` for a continuation that is too old.

        With ``metadata_only`` the items are PartialObjectMetadata.
        """
        query = _query(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            limit=limit or "",
            **{"continue": continue_token},
            resourceVersion=resource_version,
            resourceVersionMatch=resource_version_match,
        )
        accept = PARTIAL_LIST if metadata_only else ""
        body = await self._object("GET", resource.path(namespace), query=query, accept=accept)
        metadata = body.get("metadata") or {}
        return ObjectList(
            items=_with_kinds(body),
            resource_version=str(metadata.get("resourceVersion") or ""),
            continue_token=str(metadata.get("continue") or ""),
            remaining=metadata.get("remainingItemCount"),
        )

    async def watch(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        resource_version: str = "",
        timeout_s: int | None = None,
        send_initial_events: bool = False,
        metadata_only: bool = False,
        slim: bool = False,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Changes after ``resource_version`` until the server ends the watch.

        With ``send_initial_events`` the objects that exist come first as ADDED, then a BOOKMARK with the annotation
        ``k8s.io/initial-events-end``. With ``metadata_only`` the objects are PartialObjectMetadata; with ``slim`` they come
        without ``metadata.managedFields`` where that saves memory, as they are not shared with a server in this process. Raises
        what an ERROR event says (``Expired`` when the version is too old) and ``Unreachable`` when the connection breaks.
        """
        query = _query(
            watch="true",
            allowWatchBookmarks="true",
            labelSelector=label_selector,
            fieldSelector=field_selector,
            resourceVersion=resource_version,
            timeoutSeconds="" if timeout_s is None else timeout_s,
        )
        if send_initial_events:
            query |= {"sendInitialEvents": ["true"], "resourceVersionMatch": ["NotOlderThan"]}
        headers = {**self._headers, "accept": PARTIAL} if metadata_only else self._headers
        request = Request(method="GET", path=resource.path(namespace), query=query, headers=headers)
        response = await self._transport.open(request)
        _raise_for_status(response)
        events = _frames(response.watch) if response.watch is not None else _lines(response.stream, slim=slim)
        async with aclosing(events):
            async for event in events:
                if event.type == "ERROR":
                    raise from_status(event.object)
                yield event

    async def create(
        self, resource: Resource, obj: Object, *, namespace: str = "", name: str = "", subresource: str = ""
    ) -> Object:
        """Create ``obj``; with ``name`` and ``subresource``, post to a subresource such as ``binding``.

        Raises ``AlreadyExists``, ``Invalid``, ``Forbidden``.
        """
        path = resource.path(namespace or objects.namespace(obj), name, subresource)
        return await self._object("POST", path, content=obj)

    async def submit(
        self, resource: Resource, obj: Object, *, namespace: str = "", name: str = "", subresource: str = ""
    ) -> None:
        """As ``create``, for who writes much and has no use for the answer: it is not decoded."""
        path = resource.path(namespace or objects.namespace(obj), name, subresource)
        headers = {**self._headers, "content-type": "application/json"}
        response = await self._transport.send(Request(method="POST", path=path, headers=headers, content=obj))
        _raise_for_status(response)

    async def update(self, resource: Resource, obj: Object, *, subresource: str = "") -> Object:
        """Replace the object. Raises ``Conflict`` where it has changed since ``obj`` was read, ``NotFound``."""
        path = resource.path(objects.namespace(obj), objects.name(obj), subresource)
        return await self._object("PUT", path, content=obj)

    async def patch(
        self,
        resource: Resource,
        name: str,
        patch: Any,
        *,
        namespace: str = "",
        subresource: str = "",
        patch_type: str = MERGE_PATCH,
        field_manager: str = "",
        force: bool = False,
    ) -> Object:
        """Change an object by a patch of ``patch_type`` (one of the constants of this module)."""
        query = _query(fieldManager=field_manager, force="true" if force else "")
        path = resource.path(namespace, name, subresource)
        return await self._object("PATCH", path, query=query, content=patch, content_type=patch_type)

    async def delete(
        self,
        resource: Resource,
        name: str,
        *,
        namespace: str = "",
        grace_period_s: int | None = None,
        propagation: str = "",
        uid: str = "",
        resource_version: str = "",
    ) -> Object:
        """Delete, only the object of that ``uid`` and version where given. Raises ``NotFound`` and ``Conflict``.

        ``propagation`` is Orphan, Background or Foreground; empty leaves it to the server.
        """
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if grace_period_s is not None:
            options["gracePeriodSeconds"] = grace_period_s
        if propagation:
            options["propagationPolicy"] = propagation
        preconditions = {}
        if uid:
            preconditions["uid"] = uid
        if resource_version:
            preconditions["resourceVersion"] = resource_version
        if preconditions:
            options["preconditions"] = preconditions
        return await self._object("DELETE", resource.path(namespace, name), content=options)

    async def delete_collection(
        self,
        resource: Resource,
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
        propagation: str = "",
        grace_period_s: int | None = None,
    ) -> Object:
        """Delete every object that the selectors select."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if propagation:
            options["propagationPolicy"] = propagation
        if grace_period_s is not None:
            options["gracePeriodSeconds"] = grace_period_s
        query = _query(labelSelector=label_selector, fieldSelector=field_selector)
        return await self._object("DELETE", resource.path(namespace), query=query, content=options)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> Response:
        """Any request, its response as it is: no status raises."""
        return await self._transport.send(
            Request(
                method=method,
                path=path,
                query={key: [value] for key, value in (query or {}).items()},
                headers={**self._headers, **(headers or {})},
                body=body,
            )
        )

    async def _object(
        self,
        method: str,
        path: str,
        *,
        query: Query | None = None,
        content: Any = None,
        content_type: str = "application/json",
        accept: str = "",
    ) -> Object:
        headers = self._headers if content is None else {**self._headers, "content-type": content_type}
        if accept:
            headers = {**headers, "accept": accept}
        request = Request(method=method, path=path, query=query or {}, headers=headers, content=content)
        response = await self._transport.send(request)
        _raise_for_status(response)
        return cast("Object", decoded(response))


def _with_kinds(body: Object) -> Sequence[Object]:
    """The items of a list. Those of built-in kinds that come over a wire leave to the list to say what they are."""
    items: Sequence[Object] = body.get("items") or ()
    if not items or "kind" in items[0]:
        return items
    kind, api_version = str(body.get("kind") or "").removesuffix("List"), body.get("apiVersion")
    return [{"kind": kind, "apiVersion": api_version, **item} for item in items]


def decoded(response: Response) -> Any:
    """A response's body as JSON values, without decoding where the server is in the same process."""
    if response.content is not None:
        return response.content
    body = response.body or b"".join(response.slices)
    return msgspec.json.decode(body) if body else {}


def encode(content: Any) -> bytes:
    """``content`` as the JSON that goes over the wire."""
    return _ENCODER.encode(content)


def _query(**values: str | int) -> Query:
    return {key: [str(value)] for key, value in values.items() if value != ""}


def _raise_for_status(response: Response) -> None:
    if response.status < 400:
        return
    raise failure_of(response)


def failure_of(response: Response) -> APIError:
    """The error that a response with a status of 400 and more stands for, also when its body is no Status."""
    try:
        status = decoded(response)
    except msgspec.DecodeError:
        status = None
    if isinstance(status, dict) and status.get("kind") == "Status":
        return from_status(status)
    text = response.body[:500].decode(errors="replace")
    if response.status == 429:  # API Priority and Fairness answers with a line of text
        after = response.headers.get("retry-after", "")
        return TooManyRequests(text.strip(), retry_after_s=int(after) if after.isdigit() else None)
    return OtherStatus({"kind": "Status", "status": "Failure", "code": response.status, "message": text})


async def _frames(watch: AsyncIterator[Sequence[WatchFrame]]) -> AsyncGenerator[WatchEvent, None]:
    try:
        async for batch in watch:
            for frame in batch:
                yield WatchEvent(type=frame.type, object=cast("Object", frame.object))
    finally:
        await _close(watch)


async def _lines(stream: AsyncIterator[bytes] | None, *, slim: bool) -> AsyncGenerator[WatchEvent, None]:
    if stream is None:
        return
    rest = b""
    try:
        async for chunk in stream:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.strip():
                    yield _slim_event(line) if slim else _event(line)
    except msgspec.DecodeError as error:
        raise Unreachable(f"the watch sent what is no JSON: {error}") from error
    finally:
        await _close(stream)


class _Line(Struct):
    """A line of a watch, its object's parts not decoded yet."""

    type: str
    object: dict[str, msgspec.Raw]


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_parts = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


def _event(line: bytes) -> WatchEvent:
    event = msgspec.json.decode(line)
    return WatchEvent(type=event["type"], object=event["object"])


def _slim_event(line: bytes) -> WatchEvent:
    """Without ``metadata.managedFields``, which is looked over and never made: a third of the time that a small pod takes."""
    event = _decode_line(line)
    obj: Object = {
        name: _without_managed_fields(part) if name == "metadata" else msgspec.json.decode(part)
        for name, part in event.object.items()
    }
    return WatchEvent(type=event.type, object=obj)


def _without_managed_fields(metadata: msgspec.Raw) -> Object:
    parts = _decode_parts(metadata)
    return {name: msgspec.json.decode(part) for name, part in parts.items() if name != "managedFields"}


async def _close(iterator: AsyncIterator[Any]) -> None:
    close = getattr(iterator, "aclose", None)
    if close is not None:
        await close()
