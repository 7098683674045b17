"""What is recorded of requests, as a reader of the log sees it."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from steersman.aio.clock import FakeClock
from steersman.apiserver.api import API
from steersman.apiserver.audit.configuration import AuditConfig, AuditLog
from steersman.apiserver.audit.policy import parse
from steersman.apiserver.call import Call
from steersman.apiserver.component import APIServer
from steersman.apiserver.config import APIServerConfig
from steersman.apiserver.plugins import Plugins, Surroundings, assemble
from steersman.apiserver.served import Served
from steersman.client.api import APPLY_PATCH, MERGE_PATCH, Client
from steersman.client.inprocess import InProcessTransport
from steersman.meta.errors import Forbidden, NotFound
from steersman.meta.resources import CONFIGMAPS, ENDPOINTS, PODS
from steersman.meta.wire import Peer, Request, Response
from steersman.store.drivers.memory import MemoryStore
from tests.apiserver.builders import config_map, pod


class Audited(Struct):
    server: APIServer
    client: Client
    clock: FakeClock
    path: Path

    def events(self, **wanted: Any) -> list[dict[str, Any]]:
        """What the log has, of events with those fields."""
        found = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [event for event in found if all(event.get(name) == value for name, value in wanted.items())]


async def _audited(
    tmp_path: Path,
    policy: dict[str, Any],
    *,
    anonymous_auth: bool = True,
    plugins: Callable[[Surroundings], Plugins] = assemble,
    **log: Any,
) -> Audited:
    clock = FakeClock()
    path = tmp_path / "audit" / "audit.log"
    rules = [{"level": "None", "users": ["system:apiserver"]}, *policy.pop("rules")]
    document = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules, **policy}
    config = APIServerConfig(
        anonymous_auth=anonymous_auth,
        authorization_modes=("RBAC",),
        disabled_admission_plugins=("ServiceAccount",),
        audit=AuditConfig(policy=parse(document), log=AuditLog(path=str(path), **log)),
    )
    server = APIServer(store=MemoryStore(clock), clock=clock, config=config, rng=random.Random(7), plugins=plugins)
    await server.start()
    return Audited(server, Client(InProcessTransport(server.handle)), clock, path)


@pytest.fixture
async def audited(tmp_path: Path) -> AsyncIterator[Audited]:
    found = await _audited(tmp_path, {"rules": [{"level": "RequestResponse"}]})
    yield found
    await found.server.close()


async def test_a_request_has_two_events(audited: Audited) -> None:
    await audited.client.create(CONFIGMAPS, config_map())
    received, completed = audited.events(verb="create")
    assert (received["kind"], received["apiVersion"]) == ("Event", "audit.k8s.io/v1")
    assert (received["stage"], completed["stage"]) == ("RequestReceived", "ResponseComplete")
    assert received["auditID"] == completed["auditID"]
    assert received["requestURI"] == "/api/v1/namespaces/default/configmaps"
    assert received["user"] == {"username": "system:admin", "groups": ["system:masters", "system:authenticated"]}
    assert received["objectRef"] == {"resource": "configmaps", "namespace": "default", "apiVersion": "v1"}
    assert received["requestReceivedTimestamp"] == received["stageTimestamp"] == "2026-01-01T00:00:00.000000Z"
    assert "requestObject" not in received
    assert completed["objectRef"]["name"] == "a"
    assert completed["responseStatus"] == {"metadata": {}, "code": 201}
    assert completed["requestObject"]["data"] == {"key": "value"}
    assert "uid" not in completed["requestObject"]["metadata"], "what was sent, before anything was done to it"
    assert completed["responseObject"]["metadata"]["uid"]
    assert completed["annotations"]["authorization.k8s.io/decision"] == "allow"


async def test_failures_are_recorded_with_their_status(audited: Audited) -> None:
    with pytest.raises(NotFound):
        await audited.client.get(CONFIGMAPS, "missing", namespace="default")
    (completed,) = audited.events(verb="get", stage="ResponseComplete")
    assert completed["responseStatus"] == {
        "metadata": {},
        "status": "Failure",
        "message": 'configmaps "missing" not found',
        "reason": "NotFound",
        "details": {"name": "missing", "kind": "configmaps"},
        "code": 404,
    }
    assert completed["responseObject"]["kind"] == "Status"


async def test_refusals_say_why(audited: Audited) -> None:
    eve = Client(InProcessTransport(audited.server.handle, user="eve", groups=()))
    with pytest.raises(Forbidden):
        await eve.list(CONFIGMAPS)
    (completed,) = audited.events(verb="list", stage="ResponseComplete")
    assert completed["annotations"]["authorization.k8s.io/decision"] == "forbid"
    assert completed["responseStatus"]["code"] == 403
    assert completed["user"]["username"] == "eve"


async def test_who_acts_as_somebody_else_is_recorded_too(audited: Audited) -> None:
    headers = {"impersonate-user": "eve", "user-agent": "x" * 2000, "x-forwarded-for": "192.0.2.1, junk"}
    await audited.client.request("GET", "/api/v1/namespaces/default/pods", query={"limit": "5"}, headers=headers)
    (completed,) = audited.events(verb="list", stage="ResponseComplete")
    assert completed["user"]["username"] == "system:admin"
    assert completed["impersonatedUser"] == {"username": "eve", "groups": ["system:authenticated"]}
    assert completed["authenticationMetadata"] == {"impersonationConstraint": "impersonate:user-info"}
    assert completed["sourceIPs"] == ["192.0.2.1"]
    assert completed["userAgent"] == "x" * 1024 + "...TRUNCATED"
    assert completed["requestURI"] == "/api/v1/namespaces/default/pods?limit=5"


async def test_changes_are_recorded_as_they_were_asked_for(audited: Audited) -> None:
    await audited.client.create(CONFIGMAPS, config_map())
    patch = {"data": {"key": "new"}}
    await audited.client.patch(CONFIGMAPS, "a", patch, namespace="default", patch_type=MERGE_PATCH)
    (patched,) = audited.events(verb="patch", stage="ResponseComplete")
    assert patched["requestObject"] == patch
    applied = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}, "data": {"a": "b"}}
    await audited.client.patch(
        CONFIGMAPS, "b", applied, namespace="default", patch_type=APPLY_PATCH, field_manager="me"
    )
    assert audited.events(verb="patch", stage="ResponseComplete")[1]["requestObject"] == applied
    await audited.client.delete(CONFIGMAPS, "a", namespace="default", propagation="Background")
    (deleted,) = audited.events(verb="delete", stage="ResponseComplete")
    assert deleted["requestObject"]["propagationPolicy"] == "Background"
    current = await audited.client.get(CONFIGMAPS, "b", namespace="default")
    await audited.client.update(CONFIGMAPS, {**current, "data": {"a": "c"}})
    (updated,) = audited.events(verb="update", stage="ResponseComplete")
    assert updated["objectRef"]["uid"] == current["metadata"]["uid"]
    assert updated["objectRef"]["resourceVersion"] == current["metadata"]["resourceVersion"]


async def test_bodies_of_every_form_are_recorded_as_json(audited: Audited) -> None:
    await audited.client.request(
        "POST",
        "/api/v1/namespaces/default/configmaps",
        headers={"content-type": "application/yaml", "accept": "application/vnd.kubernetes.protobuf"},
        body=b"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  key: value\n",
    )
    (completed,) = audited.events(verb="create", stage="ResponseComplete")
    assert completed["requestObject"]["data"] == {"key": "value"}
    assert completed["responseObject"]["data"] == {"key": "value"}


async def test_a_watch_has_three_events_the_last_when_it_ends(audited: Audited) -> None:
    await audited.client.create(CONFIGMAPS, config_map())
    watch = audited.client.watch(CONFIGMAPS, namespace="default", timeout_s=30, send_initial_events=True)
    assert (await anext(watch)).object["metadata"]["name"] == "a"
    stages = [event["stage"] for event in audited.events(verb="watch")]
    assert stages == ["RequestReceived", "ResponseStarted"]
    await audited.clock.advance(40)
    assert [event.type async for event in watch] == ["BOOKMARK"]
    await audited.clock.advance(0)
    *_, completed = audited.events(verb="watch")
    assert (completed["stage"], completed["responseStatus"]) == ("ResponseComplete", {"metadata": {}, "code": 200})
    assert "responseObject" not in completed
    assert completed["stageTimestamp"] > completed["requestReceivedTimestamp"]


async def test_the_use_of_deprecated_versions_is_annotated(audited: Audited) -> None:
    await audited.client.list(CONFIGMAPS)
    await audited.client.list(ENDPOINTS)
    noted = {event["objectRef"]["resource"]: event.get("annotations", {}) for event in audited.events(verb="list")}
    assert "k8s.io/deprecated" not in noted["configmaps"]
    assert noted["endpoints"]["k8s.io/deprecated"] == "true"


async def test_requests_without_an_identity_are_recorded(tmp_path: Path) -> None:
    audited = await _audited(tmp_path, {"rules": [{"level": "Metadata"}]}, anonymous_auth=False)
    response = await audited.server.handle(Request(method="GET", path="/api", peer=Peer(address="192.0.2.3")))
    assert response.status == 401
    (event,) = audited.events(requestURI="/api")
    assert (event["stage"], event["user"], event["sourceIPs"]) == ("ResponseStarted", {}, ["192.0.2.3"])
    assert (event["responseStatus"]["code"], event["responseStatus"]["reason"]) == (401, "Unauthorized")
    await audited.server.close()


async def test_levels_and_stages_are_the_policys(tmp_path: Path) -> None:
    rules = [
        {"level": "None", "resources": [{"group": "", "resources": ["pods"]}]},
        {"level": "Request", "verbs": ["update"]},
        {"level": "Metadata", "omitStages": ["ResponseComplete"], "nonResourceURLs": ["/version"]},
        {"level": "Metadata"},
    ]
    audited = await _audited(tmp_path, {"rules": rules, "omitStages": ["RequestReceived"]})
    created = await audited.client.create(CONFIGMAPS, config_map())
    await audited.client.update(CONFIGMAPS, {**created, "data": {}})
    await audited.client.create(PODS, pod())
    await audited.client.request("GET", "/version")
    metadata, request = audited.events()
    assert (metadata["level"], metadata["verb"], metadata["objectRef"]["name"]) == ("Metadata", "create", "a")
    assert "requestObject" not in metadata
    assert (request["level"], "requestObject" in request, "responseObject" in request) == ("Request", True, False)
    metrics = (await audited.client.request("GET", "/metrics")).body.decode()
    assert 'apiserver_audit_level_total{level="Request"} 1' in metrics
    await audited.server.close()


async def test_managed_fields_can_be_left_out(tmp_path: Path) -> None:
    audited = await _audited(tmp_path, {"rules": [{"level": "RequestResponse"}], "omitManagedFields": True})
    created = await audited.client.create(CONFIGMAPS, config_map())
    assert created["metadata"]["managedFields"]
    await audited.client.update(CONFIGMAPS, {**created, "data": {}})
    await audited.client.list(CONFIGMAPS, namespace="default")
    (updated,), (listed,) = (audited.events(verb=verb, stage="ResponseComplete") for verb in ("update", "list"))
    assert "managedFields" not in updated["requestObject"]["metadata"]
    assert "managedFields" not in updated["responseObject"]["metadata"]
    assert listed["responseObject"]["items"]
    assert not any("managedFields" in item["metadata"] for item in listed["responseObject"]["items"])
    await audited.server.close()


async def test_an_error_of_ours_is_a_panic(tmp_path: Path) -> None:
    async def broken(api: API, served: Served, call: Call) -> Response:
        raise RuntimeError("broken")

    def plugins(of: Surroundings) -> Plugins:
        return replace(assemble(of), verbs={("", "secrets", "get"): broken})

    audited = await _audited(tmp_path, {"rules": [{"level": "Metadata"}]}, plugins=plugins)
    answer = await audited.client.request("GET", "/api/v1/namespaces/default/secrets/a")
    assert answer.status == 500
    (event,) = audited.events(stage="Panic")
    assert event["responseStatus"]["message"] == "APIServer panic'd: broken"
    assert audited.events(stage="ResponseComplete", verb="get") == []
    await audited.server.close()


async def test_the_older_form_is_a_line_of_text(tmp_path: Path) -> None:
    audited = await _audited(tmp_path, {"rules": [{"level": "Metadata"}]}, form="legacy")
    await audited.client.create(CONFIGMAPS, config_map())
    line = audited.path.read_text().splitlines()[-1]
    assert line.startswith('2026-01-01T00:00:00.000000Z AUDIT: id="')
    assert line.endswith(
        'stage="ResponseComplete" ip="<unknown>" method="create" user="system:admin" '
        'groups="\\"system:masters\\",\\"system:authenticated\\"" as="<self>" asgroups="<lookup>" '
        'user-agent="steersman/v1.36.0" namespace="default" uri="/api/v1/namespaces/default/configmaps" response="201"'
    )
    await audited.server.close()
