"""What endpoints that hand a connection over share: admission of a CONNECT, and the second look at who may upgrade."""

from __future__ import annotations

from dataclasses import replace

from steersman.apiserver.admission.api import AdmissionRequest
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.filters.authorization import attributes_of, forbidden
from steersman.apiserver.served import Served
from steersman.meta.objects import Object


async def admit_connect(api: API, served: Served, call: Call, kind: str) -> None:
    """Ask admission about a CONNECT with options of ``kind`` (PodExecOptions, …). Raises what it refuses with."""
    options: Object = {"kind": kind, "apiVersion": "v1"}
    for name, values in call.request.query.items():
        options[name] = list(values) if name == "command" else values[0]
    request = AdmissionRequest(
        operation="CONNECT",
        kind=served.kind,
        namespace=call.info.namespace,
        name=call.info.name,
        subresource=call.info.subresource,
        obj=options,
        old=None,
        user=call.user,
        warnings=call.warnings,
        annotations=call.annotations,
    )
    await api.admission.mutate(request)
    await api.admission.validate(request)


async def authorize_upgrade(api: API, call: Call) -> None:
    """WebSockets come as GET; what they do is a create, and needs that permission (v1.35). Raises ``Forbidden``."""
    if call.request.method != "GET":
        return
    attributes = replace(attributes_of(call), verb="create")
    decision = await api.authorizer.authorize(attributes)
    if not decision.allowed:
        raise forbidden(attributes, decision.reason)
