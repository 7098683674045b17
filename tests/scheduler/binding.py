"""``pods/binding`` for tests, until the API server serves it itself."""

from __future__ import annotations

from steersman.apiserver import respond
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.decoding import decode
from steersman.apiserver.endpoints.api import expected_definition
from steersman.apiserver.options import write_options
from steersman.apiserver.served import Served
from steersman.apiserver.updating import Strategy, update_object
from steersman.meta.errors import Conflict
from steersman.meta.objects import Object
from steersman.meta.wire import Response

_BINDING = Strategy(subresource="binding", prepare=lambda *_: None, errors=lambda *_: [])


async def bind_pod(api: API, served: Served, call: Call) -> Response:
    options = write_options(call, "CreateOptions")
    sent = decode(call, expected_definition(api, "", "v1", "Binding", "io.k8s.api.core.v1.Binding"), "Ignore")

    def bound(old: Object) -> Object:
        if old["spec"].get("nodeName"):
            raise Conflict.of(served.resource, call.info.name, f"pod {call.info.name} is already assigned to a node")
        conditions = [
            entry for entry in old.get("status", {}).get("conditions") or [] if entry["type"] != "PodScheduled"
        ]
        return {
            **old,
            "metadata": dict(old["metadata"]),
            "spec": {**old["spec"], "nodeName": sent["target"]["name"]},
            "status": {
                **old.get("status", {}),
                "conditions": [*conditions, {"type": "PodScheduled", "status": "True"}],
            },
        }

    outcome = await update_object(api, served, call, bound, options, strategy=_BINDING)
    return respond.entity(call, served, outcome.entity, now_s=api.clock.now(), status=201)
