"""``scale`` of custom resources: a Scale of autoscaling/v1 over the paths that the definition names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from steersman.apiserver import objectmeta, scaling
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.decoding import decode, private_copy
from steersman.apiserver.endpoints.api import Endpoint, expected_definition
from steersman.apiserver.endpoints.apply import APPLY_PATCH, configuration
from steersman.apiserver.endpoints.patch import check_media_type, check_strictly, mechanism
from steersman.apiserver.extensions.served import CustomServed
from steersman.apiserver.options import WriteOptions, write_options
from steersman.apiserver.served import Served
from steersman.apiserver.updating import MAIN, Strategy, check_uid, update_object
from steersman.meta.errors import BadRequest, InternalError, Invalid, NotFound, invalid
from steersman.meta.objects import Object
from steersman.meta.wire import Response
from steersman.schema.customresources.scale import AccessorError, ScalePaths, integer_at, text_at, with_integer
from steersman.schema.structural import compiled

_KEPT = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")


def scale_of(obj: Object, paths: ScalePaths) -> Object:
    """The Scale of an object. Raises ``BadRequest`` where its values are no numbers."""
    try:
        replicas, current = integer_at(obj, paths.spec_replicas), integer_at(obj, paths.status_replicas) or 0
        selector = text_at(obj, paths.selector) if paths.selector else ""
    except AccessorError as error:
        raise BadRequest(str(error)) from error
    status: Object = {"replicas": current}
    if selector:
        status["selector"] = selector
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {field: obj["metadata"][field] for field in _KEPT if field in obj["metadata"]},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status,
    }


def _paths(served: Served) -> ScalePaths:
    """The router has found the subresource, so that there are some."""
    assert isinstance(served, CustomServed)
    assert served.version.scale is not None
    return served.version.scale


def _scaled(scale: Object, old: Object, paths: ScalePaths, managed_fields: Any) -> Object:
    """``old`` with the Scale's replicas and version, and these managed fields. Raises ``Invalid`` and ``BadRequest``."""
    replicas = (scale.get("spec") or {}).get("replicas") or 0
    if replicas < 0:
        errors = [invalid("spec.replicas", replicas, "must be greater than or equal to 0")]
        raise Invalid.of("Scale", "autoscaling", scale["metadata"].get("name") or "", errors)
    metadata = {**old["metadata"], "resourceVersion": scale["metadata"].get("resourceVersion") or ""}
    if scale["metadata"].get("uid"):
        metadata["uid"] = scale["metadata"]["uid"]
    metadata.pop("managedFields", None)
    if managed_fields:
        metadata["managedFields"] = managed_fields
    try:
        return {**with_integer(old, paths.spec_replicas, replicas), "metadata": metadata}
    except AccessorError as error:
        raise BadRequest(str(error)) from error


def _view(served: Served, obj: Object) -> Object:
    return scale_of(obj, _paths(served))


def _adopt(served: Served, scale: Object, obj: Object) -> Object:
    return _scaled(scale, obj, _paths(served), obj["metadata"].get("managedFields"))


_STRATEGY = Strategy(
    subresource="scale", prepare=MAIN.prepare, errors=MAIN.errors, unconditional=False, view=_view, adopt=_adopt
)


async def get_scale(api: API, served: Served, call: Call) -> Response:
    paths = _paths(served)
    stored = await api.objects.get(served.key(call.info.namespace, call.info.name))
    if stored is None:
        raise NotFound.of(served.resource, call.info.name)
    obj = served.obj(await served.loaded(stored))
    scale = scale_of(obj, paths)
    if integer_at(obj, paths.spec_replicas) is None:
        raise InternalError(f'Internal error occurred: the spec replicas field "{paths.spec_replicas}" does not exist')
    return scaling.answer(api, call, scale)


async def update_scale(api: API, served: Served, call: Call) -> Response:
    options = write_options(call, "UpdateOptions")
    expected = expected_definition(api, "autoscaling", "v1", "Scale", scaling.DEFINITION)
    scale = decode(call, expected, options.field_validation)
    metadata = scale.setdefault("metadata", {})
    objectmeta.match_namespace(metadata, call.info.namespace, served.kind)
    objectmeta.match_name(metadata, call.info.name)
    paths = _paths(served)

    def replaced(old: Object) -> Object:
        check_uid(served, scale["metadata"].get("uid"), old["metadata"])
        entries = scaling.updated(api, call, scale_of(old, paths), scale, old, options, path=paths.spec_replicas[1:])
        return _scaled(scale, old, paths, entries)

    return await _update(api, served, call, replaced, options)


async def patch_scale(api: API, served: Served, call: Call) -> Response:
    if check_media_type(call, scaling.DEFINITION) == APPLY_PATCH:
        return await _apply_scale(api, served, call)
    options = write_options(call, "PatchOptions")
    body = mechanism(call, options, scaling.DEFINITION)
    paths = _paths(served)

    def patched(old: Object) -> Object:
        before = _before(old, paths)
        result = body.apply(before)
        if body.keeps_kind:
            result = {**result, "apiVersion": before["apiVersion"], "kind": before["kind"]}
        elif (result.get("apiVersion"), result.get("kind")) != (scaling.API_VERSION, "Scale"):
            raise BadRequest("the patched object is not a Scale of autoscaling/v1")
        unknown: list[str] = []
        scale: Object = private_copy(compiled(scaling.DEFINITION).decode(result, unknown))
        check_strictly(call, options, body, result, unknown)
        if integer_at(old, paths.spec_replicas) is None and "replicas" not in (scale.get("spec") or {}):
            raise BadRequest(f'the spec replicas field "{paths.spec_replicas}" cannot be empty')
        entries = scaling.updated(api, call, before, scale, old, options, path=paths.spec_replicas[1:])
        return _scaled(scale, old, paths, entries)

    return await _update(api, served, call, patched, options)


def _before(old: Object, paths: ScalePaths) -> Object:
    """The Scale that is patched: without a version, so that it locks nothing unless the patch says so."""
    before = scale_of(old, paths)
    before["metadata"].pop("resourceVersion", None)
    return before


async def _apply_scale(api: API, served: Served, call: Call) -> Response:
    options = write_options(call, "PatchOptions", is_apply=True)
    config = configuration(call, options)
    paths = _paths(served)

    def applied(old: Object) -> Object:
        before, path = _before(old, paths), paths.spec_replicas[1:]
        result, entries = scaling.applied(api, call, before, config, old, options, path=path)
        objectmeta.match_namespace(result["metadata"], call.info.namespace, served.kind)
        objectmeta.match_name(result["metadata"], call.info.name)
        return _scaled(compiled(scaling.DEFINITION).decode(result), old, paths, entries)

    return await _update(api, served, call, applied, options)


async def _update(
    api: API, served: Served, call: Call, scaled: Callable[[Object], Object], options: WriteOptions
) -> Response:
    outcome = await update_object(
        api, served, call, scaled, options, strategy=_STRATEGY, default=False, has_managed_fields=True
    )
    return scaling.answer(api, call, scale_of(served.obj(outcome.entity), _paths(served)))


VERBS: Mapping[str, Endpoint] = {"get": get_scale, "update": update_scale, "patch": patch_scale}
