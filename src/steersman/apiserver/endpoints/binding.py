"""POST of a Binding: a pod gets its node. The scheduler's one write."""

from __future__ import annotations

from msgspec.structs import replace

from steersman.apiserver import respond
from steersman.apiserver.admitting import admission_request
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.decoding import decode
from steersman.apiserver.endpoints.api import Endpoint, expected_definition
from steersman.apiserver.options import WriteOptions, write_options
from steersman.apiserver.served import Served
from steersman.apiserver.updating import MAX_ATTEMPTS, precondition_failed
from steersman.meta import times
from steersman.meta.errors import APIError, BadRequest, Conflict, NotFound, invalid, not_supported, required
from steersman.meta.objects import Object, with_metadata
from steersman.meta.resources import PODS
from steersman.meta.wire import Response
from steersman.schema.kind import Kind
from steersman.store.objects import Modified

_DEFINITION = "io.k8s.api.core.v1.Binding"


class InvalidBinding(APIError):
    """500 without a reason: upstream hands these field errors out unwrapped."""

    code, reason = 500, ""


async def bind(api: API, served: Served, call: Call) -> Response:
    """``pods/<name>/binding``."""
    options = write_options(call, "CreateOptions")
    binding = decode(call, expected_definition(api, "", "v1", "Binding", _DEFINITION), options.field_validation)
    if (binding.get("metadata") or {}).get("name") != call.info.name:
        raise BadRequest("name in URL does not match name in Binding object")
    await _assign(api, served, call, binding, options, served.kind)
    return respond.value(call, _success(), status=201)


async def create_binding(api: API, served: Served, call: Call) -> Response:
    """``bindings``, the older form: the pod is named by the body."""
    options = write_options(call, "CreateOptions")
    binding = decode(call, expected_definition(api, "", "v1", "Binding", _DEFINITION), options.field_validation)
    call.info = replace(call.info, name=(binding.get("metadata") or {}).get("name") or "")
    await _assign(api, api.kinds.of(PODS), call, binding, options, served.kind)
    return respond.value(call, _success(), status=201)


def _success() -> Object:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _check(binding: Object) -> None:
    target = binding.get("target") or {}
    errors = []
    if target.get("kind") not in (None, "", "Node"):
        errors.append(not_supported("target.kind", target.get("kind"), ("Node", "<empty>")))
    if not target.get("name"):
        errors.append(required("target.name"))
    elif "/" in target["name"]:
        errors.append(invalid("target.name", target["name"], "may not contain '/'"))
    if errors:
        raise InvalidBinding(", ".join(str(error) for error in errors))


async def _assign(api: API, served: Served, call: Call, binding: Object, options: WriteOptions, kind: Kind) -> None:
    """``kind`` is that of the URL, about which admission is asked."""
    name, namespace = call.info.name, call.info.namespace
    request = admission_request(
        call, kind, "CREATE", obj=binding, subresource=call.info.subresource, dry_run=options.dry_run,
        options=options.as_object("CreateOptions"),
    )  # fmt: skip
    if await api.admission.mutate(request):
        binding = request.obj or binding
    _check(binding)
    await api.admission.validate(request)
    key = served.key(namespace, name)
    stored = await api.objects.get(key)
    for _ in range(MAX_ATTEMPTS):
        if stored is None:
            raise NotFound.of(PODS, name)
        bound = _bound(key, stored.obj, binding, times.format_time(api.clock.now()))
        if options.dry_run:
            return
        try:
            await api.objects.update(key, bound, expected_revision=stored.revision)
        except Modified as lost:
            stored = lost.current
        else:
            return
    raise _conflict(name, "the object has been modified; please apply your changes to the latest version and try again")


def _bound(key: str, pod: Object, binding: Object, now: str) -> Object:
    """The pod on its node. Raises ``Conflict`` where it cannot be put there."""
    metadata, wanted = pod["metadata"], binding["metadata"]
    name = metadata["name"]
    for field, label in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(field) and wanted[field] != metadata.get(field):
            raise precondition_failed(PODS, key, name, label, wanted[field], metadata.get(field) or "")
    spec = pod["spec"]
    if metadata.get("deletionTimestamp"):
        raise _conflict(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise _conflict(name, f'pod {name} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise _conflict(name, f"pod {name} has non-empty .spec.schedulingGates")
    status = {key: value for key, value in (pod.get("status") or {}).items() if key != "nominatedNodeName"}
    condition = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    others = [entry for entry in status.get("conditions") or () if entry.get("type") != "PodScheduled"]
    bound = {
        **pod,
        "spec": {**spec, "nodeName": binding["target"]["name"]},
        "status": {**status, "conditions": [*others, condition]},
    }
    changes = {
        field: {**(metadata.get(field) or {}), **wanted[field]}
        for field in ("annotations", "labels")
        if wanted.get(field)
    }
    return with_metadata(bound, **changes) if changes else bound


def _conflict(name: str, why: str) -> Conflict:
    return Conflict(
        f'Operation cannot be fulfilled on pods/binding "{name}": {why}',
        details={"name": name, "kind": "pods/binding"},
    )


_conforms: tuple[Endpoint, ...] = (bind, create_binding)
