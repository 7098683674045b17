"""PUT of an object or of its status."""

from __future__ import annotations

from steersman.apiserver import objectmeta, respond
from steersman.apiserver.api import API
from steersman.apiserver.call import Call
from steersman.apiserver.creation import create_object
from steersman.apiserver.decoding import decode, private_object, replaced_object
from steersman.apiserver.endpoints.api import Endpoint, expected_kind
from steersman.apiserver.options import write_options
from steersman.apiserver.served import Entity, Served
from steersman.apiserver.updating import MAIN, STATUS, Strategy, check_uid, update_object
from steersman.meta.objects import Object
from steersman.meta.wire import Response


def updating(strategy: Strategy) -> Endpoint:
    """The endpoint that replaces what ``strategy`` allows."""

    async def update(api: API, served: Served, call: Call) -> Response:
        respond.wanted(call, served)
        options = write_options(call, "UpdateOptions")
        sent = decode(call, expected_kind(api, served), options.field_validation)
        metadata = sent.setdefault("metadata", {})
        objectmeta.match_namespace(metadata, call.info.namespace, served.kind)
        objectmeta.match_name(metadata, call.info.name)
        objectmeta.deduplicate_owner_references(metadata, call)
        attempts = 0

        def replacement(old: Object) -> Object:
            nonlocal attempts
            attempts += 1
            check_uid(served, metadata.get("uid"), old["metadata"])
            own = sent if attempts == 1 else private_object(sent)
            return replaced_object(served, own, old)

        async def create() -> Entity:
            if metadata.get("uid"):
                check_uid(served, metadata["uid"], {"namespace": call.info.namespace, "name": call.info.name})
            return await create_object(api, served, call, private_object(sent), options, name=call.info.name)

        may_create = served.kind.allows_create_on_update and not strategy.subresource
        outcome = await update_object(
            api, served, call, replacement, options, strategy=strategy, create=create if may_create else None
        )
        status = 201 if outcome.change == "created" else 200
        return respond.entity(call, served, outcome.entity, now_s=api.clock.now(), status=status)

    return update


update = updating(MAIN)
update_status = updating(STATUS)
