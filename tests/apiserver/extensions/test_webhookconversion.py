"""A custom resource whose versions a webhook converts: ``hostPort`` in v1 is ``host`` and ``port`` in v2."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web

from steersman.aio.clock import FakeClock
from steersman.apiserver.component import APIServer
from steersman.client.api import Client
from steersman.meta.errors import APIError, NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import (
    CONFIGMAPS,
    CUSTOMRESOURCEDEFINITIONS,
    VALIDATINGADMISSIONPOLICIES,
    VALIDATINGADMISSIONPOLICYBINDINGS,
    VALIDATINGWEBHOOKCONFIGURATIONS,
)
from steersman.testing.waiting import eventually
from tests.apiserver.authorities import TestAuthority
from tests.apiserver.builders import config_map
from tests.apiserver.extensions.builders import WIDGETS, WIDGETS_V2, definition
from tests.apiserver.extensions.conftest import Define
from tests.apiserver.webhookserver import WebhookServer, allow

TEXT = {"type": "string"}
APPLY = "application/apply-patch+yaml"


def schema(**properties: Object) -> Object:
    status = {"type": "object", "properties": {"phase": TEXT}}
    return {"openAPIV3Schema": {"type": "object", "properties": {**properties, "status": status}}}


V1: Object = {"name": "v1", "served": True, "schema": schema(hostPort=TEXT), "subresources": {"status": {}}}
V2: Object = {"name": "v2", "served": True, "schema": schema(host=TEXT, port=TEXT), "subresources": {"status": {}}}


def key(name: str = "a") -> str:
    return f"/registry/example.com/widgets/default/{name}"


def v1(name: str = "a", host_port: str = "localhost:8080", **metadata: Any) -> Object:
    return {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": name, "namespace": "default", **metadata},
        "hostPort": host_port,
    }


def v2(name: str = "a", host: str = "localhost", port: str = "8080", **metadata: Any) -> Object:
    return {
        "apiVersion": "example.com/v2",
        "kind": "Widget",
        "metadata": {"name": name, "namespace": "default", **metadata},
        "host": host,
        "port": port,
    }


def converted(obj: Object, api_version: str) -> Object:
    new = {name: value for name, value in obj.items() if name not in ("hostPort", "host", "port")}
    new["apiVersion"] = api_version
    if api_version.endswith("/v2") and "hostPort" in obj:
        new["host"], _, new["port"] = obj["hostPort"].partition(":")
    elif api_version.endswith("/v1"):
        new["hostPort"] = f"{obj.get('host', '')}:{obj.get('port', '')}"
    return new


class Webhook:
    """The conversion webhook: what it was asked, and how its answers differ from what is right."""

    def __init__(self, server: WebhookServer) -> None:
        self.server = server
        self.reviews: list[Object] = []
        self.change_object: Callable[[Object], Any] = lambda obj: obj
        self.change_response: Callable[[Object], Object | None] = lambda response: response
        self.raw: Callable[[], web.Response] | None = None
        self.released: asyncio.Event | None = None
        server.raw["convert"] = self._convert

    @property
    def sizes(self) -> list[int]:
        """How many objects each call had."""
        return [len(review["request"]["objects"]) for review in self.reviews]

    async def _convert(self, request: web.Request) -> web.StreamResponse:
        review: Object = msgspec.json.decode(await request.read())
        self.reviews.append(review)
        if self.released is not None:
            await self.released.wait()
        if self.raw is not None:
            return self.raw()
        asked = review["request"]
        response = self.change_response(
            {
                "uid": asked["uid"],
                "convertedObjects": [
                    self.change_object(converted(obj, asked["desiredAPIVersion"])) for obj in asked["objects"]
                ],
                "result": {"status": "Success"},
            }
        )
        return web.json_response({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": response})


@pytest.fixture
async def webhook(tmp_path: Path) -> AsyncIterator[Webhook]:
    server = WebhookServer(authority=TestAuthority(tmp_path))
    await server.start()
    yield Webhook(server)
    await server.stop()


def by_webhook(webhook: Webhook, storage: str = "v1", review_versions: tuple[str, ...] = ("v1",)) -> Object:
    versions = [{**version, "storage": version["name"] == storage} for version in (V1, V2)]
    crd = definition(*versions)
    client = {
        "clientConfig": webhook.server.client_config("convert"),
        "conversionReviewVersions": list(review_versions),
    }
    crd["spec"]["conversion"] = {"strategy": "Webhook", "webhook": client}
    return crd


Redefine = Callable[..., Awaitable[Object]]


@pytest.fixture
def stored_in(webhook: Webhook, define: Define, clock: FakeClock) -> Redefine:
    """Defines the resource with that storage version."""

    async def stored_in(storage: str = "v1", **more: Any) -> Object:
        return await define(by_webhook(webhook, storage, **more))

    return stored_in


async def failure(awaited: Awaitable[object]) -> str:
    with pytest.raises(APIError) as caught:
        await awaited
    assert caught.value.http_code == 500
    return caught.value.message


class TestReading:
    async def test_an_object_is_read_in_the_other_version(
        self, client: Client, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in()
        await client.create(WIDGETS, v1())
        assert webhook.reviews == []
        found = await client.get(WIDGETS_V2, "a", namespace="default")
        assert (found["apiVersion"], found["host"], found["port"]) == ("example.com/v2", "localhost", "8080")
        assert "hostPort" not in found
        (review,) = webhook.reviews
        assert (review["apiVersion"], review["kind"]) == ("apiextensions.k8s.io/v1", "ConversionReview")
        assert review["request"]["desiredAPIVersion"] == "example.com/v2"
        assert webhook.server.paths == ["/convert?timeout=30s"]

    async def test_a_mixed_list_is_converted_with_one_call(
        self, client: Client, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in("v1")
        for name in ("a", "b"):
            await client.create(WIDGETS, v1(name))
        await stored_in("v2")
        await client.create(WIDGETS_V2, v2("c"))
        webhook.reviews.clear()
        listed = await client.list(WIDGETS_V2, namespace="default")
        assert [item["host"] for item in listed.items] == ["localhost"] * 3
        assert webhook.sizes == [2]
        assert [item["hostPort"] for item in (await client.list(WIDGETS)).items] == ["localhost:8080"] * 3
        assert webhook.sizes == [2, 1]

    async def test_what_was_converted_is_remembered_until_it_changes(
        self, client: Client, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in()
        created = await client.create(WIDGETS, v1())
        for _ in range(3):
            await client.get(WIDGETS_V2, "a", namespace="default")
        assert len(webhook.reviews) == 1
        await client.update(WIDGETS, {**created, "hostPort": "other:1"})
        assert (await client.get(WIDGETS_V2, "a", namespace="default"))["host"] == "other"
        assert len(webhook.reviews) == 2

    async def test_readers_at_the_same_time_share_one_call(
        self, client: Client, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in()
        await client.create(WIDGETS, v1())
        webhook.released = asyncio.Event()
        readers = [asyncio.create_task(client.get(WIDGETS_V2, "a", namespace="default")) for _ in range(5)]
        await webhook.server.asked.wait()
        webhook.released.set()
        assert {found["host"] for found in await asyncio.gather(*readers)} == {"localhost"}
        assert len(webhook.reviews) == 1

    async def test_a_reader_that_goes_away_takes_nothing_from_the_others(
        self, client: Client, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in()
        await client.create(WIDGETS, v1())
        webhook.released = asyncio.Event()
        first = asyncio.create_task(client.get(WIDGETS_V2, "a", namespace="default"))
        await webhook.server.asked.wait()
        second = asyncio.create_task(client.get(WIDGETS_V2, "a", namespace="default"))
        await asyncio.sleep(0)
        first.cancel()
        webhook.released.set()
        assert (await second)["host"] == "localhost"

    async def test_watches_show_changes_in_their_version(
        self, client: Client, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in()
        watches = [client.watch(WIDGETS_V2), client.watch(WIDGETS_V2)]
        first = [asyncio.create_task(anext(watch)) for watch in watches]
        created = await client.create(WIDGETS, v1())
        for event in await asyncio.gather(*first):
            assert (event.type, event.object["apiVersion"], event.object["host"]) == (
                "ADDED",
                "example.com/v2",
                "localhost",
            )
            assert event.object["metadata"]["resourceVersion"] == created["metadata"]["resourceVersion"]
        await client.delete(WIDGETS, "a", namespace="default")
        for watch in watches:
            event = await anext(watch)
            assert (event.type, event.object["host"]) == ("DELETED", "localhost")
        assert len(webhook.reviews) == 2

    async def test_a_watch_ends_with_the_reason_where_a_change_cannot_be_converted(
        self, client: Client, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in()
        watch = client.watch(WIDGETS_V2)
        event = asyncio.create_task(anext(watch))
        await asyncio.sleep(0)
        webhook.change_response = lambda response: {**response, "result": {"status": "Failed", "message": "no"}}
        await client.create(WIDGETS, v1())
        with pytest.raises(APIError, match=r"conversion webhook for example\.com/v1, Kind=Widget failed: no"):
            await event

    async def test_label_selectors_look_at_what_the_reader_gets(
        self, client: Client, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in()
        await client.create(WIDGETS, v1(labels={"seen": "v1"}))

        def relabelled(obj: Object) -> Object:
            return {**obj, "metadata": {**obj["metadata"], "labels": {"seen": "v2"}}}

        webhook.change_object = relabelled
        assert len((await client.list(WIDGETS_V2, label_selector="seen=v2")).items) == 1
        assert len((await client.list(WIDGETS_V2, label_selector="seen=v1")).items) == 0
        assert len((await client.list(WIDGETS, label_selector="seen=v1")).items) == 1


class TestWriting:
    async def test_an_object_is_stored_in_the_storage_version(
        self, client: Client, server: APIServer, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in("v1")
        created = await client.create(WIDGETS_V2, v2(host="a", port="1"))
        assert (created["apiVersion"], created["host"], created["port"]) == ("example.com/v2", "a", "1")
        stored = server.objects.cached(key())
        assert stored is not None
        assert (stored.obj["apiVersion"], stored.obj["hostPort"]) == ("example.com/v1", "a:1")

    async def test_updates_patches_and_applies_work_in_both_versions(
        self, client: Client, server: APIServer, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in("v1")
        created = await client.create(WIDGETS_V2, v2())
        await client.update(WIDGETS_V2, {**created, "host": "two"})
        await client.patch(WIDGETS_V2, "a", {"port": "22"}, namespace="default")
        assert (await client.get(WIDGETS, "a", namespace="default"))["hostPort"] == "two:22"
        config = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "a"}, "hostPort": "three:3"}
        applied = await client.patch(
            WIDGETS, "a", config, namespace="default", patch_type=APPLY, field_manager="applier", force=True
        )
        assert applied["hostPort"] == "three:3"
        found = await client.get(WIDGETS_V2, "a", namespace="default")
        assert (found["host"], found["port"]) == ("three", "3")

    async def test_managed_fields_of_another_version_are_compared_in_that_version(
        self, client: Client, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in("v1")
        for version, config in (("v1", {"hostPort": "a:1"}), ("v2", {"host": "a"})):
            resource = WIDGETS if version == "v1" else WIDGETS_V2
            body = {"apiVersion": f"example.com/{version}", "kind": "Widget", "metadata": {"name": "a"}, **config}
            await client.patch(
                resource, "a", body, namespace="default", patch_type=APPLY, field_manager=f"applier-{version}"
            )
        found = await client.get(WIDGETS_V2, "a", namespace="default")
        owners = {
            entry["manager"]: (entry["apiVersion"], entry["fieldsV1"]) for entry in found["metadata"]["managedFields"]
        }
        assert owners == {
            "applier-v1": ("example.com/v1", {"f:hostPort": {}}),
            "applier-v2": ("example.com/v2", {"f:host": {}}),
        }

    async def test_status_is_written_in_either_version(
        self, client: Client, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in("v1")
        created = await client.create(WIDGETS_V2, v2())
        await client.update(WIDGETS_V2, {**created, "host": "ignored", "status": {"phase": "Up"}}, subresource="status")
        found = await client.get(WIDGETS, "a", namespace="default")
        assert (found["status"], found["hostPort"]) == ({"phase": "Up"}, "localhost:8080")

    async def test_a_write_that_changes_nothing_migrates_to_the_storage_version(
        self, client: Client, server: APIServer, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in("v1")
        await client.create(WIDGETS, v1())
        crd = await stored_in("v2")
        assert crd["status"]["storedVersions"] == ["v1", "v2"]
        found = await client.get(WIDGETS, "a", namespace="default")
        migrated = await client.update(WIDGETS, found)
        stored = server.objects.cached(key())
        assert stored is not None
        assert (stored.obj["apiVersion"], stored.obj["host"]) == ("example.com/v2", "localhost")
        again = await client.update(WIDGETS, migrated)
        assert again["metadata"]["resourceVersion"] == migrated["metadata"]["resourceVersion"]

    async def test_a_version_leaves_the_stored_ones_only_when_somebody_says_so(
        self, client: Client, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in("v1")
        crd = await stored_in("v2")
        with pytest.raises(APIError, match=r"status.storedVersions"):
            only_v2 = {**crd, "spec": {**crd["spec"], "versions": crd["spec"]["versions"][1:]}}
            await client.update(CUSTOMRESOURCEDEFINITIONS, only_v2)
        migrated = {**crd, "status": {**crd["status"], "storedVersions": ["v2"]}}
        told = await client.update(CUSTOMRESOURCEDEFINITIONS, migrated, subresource="status")
        assert told["status"]["storedVersions"] == ["v2"]

    async def test_an_object_is_deleted_in_either_version(
        self, client: Client, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in("v1")
        await client.create(WIDGETS, v1(finalizers=["example.com/hold"]))
        deleted = await client.delete(WIDGETS_V2, "a", namespace="default")
        assert (deleted["apiVersion"], deleted["host"]) == ("example.com/v2", "localhost")
        await client.patch(WIDGETS_V2, "a", {"metadata": {"finalizers": None}}, namespace="default")
        with pytest.raises(NotFound):
            await client.get(WIDGETS, "a", namespace="default")

    async def test_instances_go_with_their_definition_though_the_webhook_is_gone(
        self, client: Client, clock: FakeClock, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in("v1")
        await client.create(WIDGETS, v1())
        await stored_in("v2")
        await webhook.server.stop()
        await client.delete(CUSTOMRESOURCEDEFINITIONS, "widgets.example.com")

        async def is_gone() -> bool:
            try:
                await client.get(CUSTOMRESOURCEDEFINITIONS, "widgets.example.com")
            except NotFound:
                return True
            return False

        await eventually(is_gone, clock=clock)

    async def test_admission_sees_the_version_that_its_rule_asks_for(
        self, client: Client, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in("v1")
        webhook.server.replies["check"] = allow
        rules = [
            {
                "operations": ["CREATE"],
                "apiGroups": ["example.com"],
                "apiVersions": ["v2"],
                "resources": ["widgets"],
            }
        ]
        hook = {
            "name": "check.example.com",
            "clientConfig": webhook.server.client_config("check"),
            "rules": rules,
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        }
        await client.create(VALIDATINGWEBHOOKCONFIGURATIONS, {"metadata": {"name": "check"}, "webhooks": [hook]})
        await client.create(WIDGETS, v1())
        (request,) = webhook.server.requests()
        assert (request["object"]["apiVersion"], request["object"]["host"]) == ("example.com/v2", "localhost")
        assert (request["requestKind"]["version"], request["kind"]["version"]) == ("v1", "v2")

    async def test_parameters_of_policies_are_converted(
        self, client: Client, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in("v1")
        await client.create(WIDGETS, v1("limits", host_port="forbidden:1"))
        everything = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
        spec = {
            "paramKind": {"apiVersion": "example.com/v2", "kind": "Widget"},
            "matchConstraints": {"resourceRules": [everything]},
            "validations": [{"expression": "object.metadata.name != params.host", "message": "forbidden host"}],
        }
        await client.create(VALIDATINGADMISSIONPOLICIES, {"metadata": {"name": "hosts"}, "spec": spec})
        reference = {"name": "limits", "parameterNotFoundAction": "Deny"}
        binding = {"policyName": "hosts", "paramRef": reference, "validationActions": ["Deny"]}
        await client.create(VALIDATINGADMISSIONPOLICYBINDINGS, {"metadata": {"name": "hosts"}, "spec": binding})
        with pytest.raises(APIError, match="forbidden host"):
            await client.create(CONFIGMAPS, config_map("forbidden"))
        assert await client.create(CONFIGMAPS, config_map("fine"))


def without(obj: Object, *path: str) -> Object:
    *parents, last = path
    copy: Object = msgspec.json.decode(msgspec.json.encode(obj))
    place = copy
    for part in parents:
        place = place[part]
    del place[last]
    return copy


def with_metadata(**metadata: Any) -> Callable[[Object], Object]:
    return lambda obj: {**obj, "metadata": {**obj["metadata"], **metadata}}


PREFIX = "conversion webhook for example.com/v1, Kind=Widget "
BAD_OBJECTS: list[tuple[Callable[[Object], Any], str]] = [
    (lambda obj: {**obj, "apiVersion": "example.com/v9"}, "returned invalid object: invalid groupVersion (expected example.com/v2, received example.com/v9)"),
    (lambda obj: {**obj, "kind": "Gadget"}, "returned invalid object: invalid kind (expected Widget, received Gadget)"),
    (lambda obj: "text", "returned invalid object: "),
    (lambda obj: without(obj, "metadata"), "returned invalid object: must have the same name: a != "),
    (with_metadata(name="b"), "returned invalid object: must have the same name: a != b"),
    (with_metadata(namespace="b"), "returned invalid object: must have the same namespace: default != b"),
    (with_metadata(uid="b"), "returned invalid object: must have the same UID: "),
    (with_metadata(labels="x"), "returned invalid metadata: invalid metadata.labels of type string in converted object"),
    (with_metadata(labels={"a": 1}), "returned invalid metadata: metadata.labels[a] must be a string, but is int64 in converted object"),
    (with_metadata(labels={"a b": "c"}), 'returned invalid metadata: metadata.labels: Invalid value: "a b": '),
]  # fmt: skip


class TestBadAnswers:
    @pytest.mark.parametrize(("change", "message"), BAD_OBJECTS)
    async def test_an_object_that_is_not_the_same_any_more(
        self,
        client: Client,
        webhook: Webhook,
        stored_in: Redefine,
        change: Callable[[Object], Any],
        message: str,
    ) -> None:
        await stored_in()
        await client.create(WIDGETS, v1())
        webhook.change_object = change
        assert (await failure(client.get(WIDGETS_V2, "a", namespace="default"))).startswith(PREFIX + message)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda response: {**response, "convertedObjects": []}, "returned 0 objects, expected 1"),
            (lambda response: {**response, "uid": "x"}, 'failed: expected response.uid="'),
            (lambda response: None, "failed: no response provided"),
            (
                lambda response: {**response, "result": {"status": "Failed", "message": "cannot"}},
                "failed: cannot",
            ),
            (lambda response: {**response, "result": {}}, "failed: response.result.status was '', not 'Success'"),
        ],
    )
    async def test_a_response_that_is_none(
        self,
        client: Client,
        webhook: Webhook,
        stored_in: Redefine,
        change: Callable[[Object], Object | None],
        message: str,
    ) -> None:
        await stored_in()
        await client.create(WIDGETS, v1())
        webhook.change_response = change
        assert (await failure(client.get(WIDGETS_V2, "a", namespace="default"))).startswith(PREFIX + message)

    @pytest.mark.parametrize(
        ("answer", "message"),
        [
            (web.Response(text="garbage"), "failed: couldn't get version/kind; json parse error: "),
            (web.Response(status=500, text="oops"), 'failed: an error on the server ("oops") has prevented'),
            (web.json_response({"kind": "Pod"}), "failed: expected webhook response of apiextensions.k8s.io/v1, "),
            (web.Response(status=302, headers={"Location": "/x"}), "failed: the server responded with the status code 302"),
        ],
    )  # fmt: skip
    async def test_an_answer_that_is_no_review(
        self, client: Client, webhook: Webhook, stored_in: Redefine, answer: web.Response, message: str
    ) -> None:
        await stored_in()
        await client.create(WIDGETS, v1())
        webhook.raw = lambda: answer
        assert (await failure(client.get(WIDGETS_V2, "a", namespace="default"))).startswith(PREFIX + message)

    async def test_only_labels_and_annotations_can_be_changed_in_metadata(
        self, client: Client, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in()
        created = await client.create(WIDGETS, v1(labels={"a": "b"}, annotations={"c": "d"}))
        webhook.change_object = with_metadata(
            labels={"x": "y"}, annotations=None, generation=99, finalizers=["example.com/x"], creationTimestamp=None
        )
        found = await client.get(WIDGETS_V2, "a", namespace="default")
        kept = {name: value for name, value in created["metadata"].items() if name not in ("labels", "annotations")}
        assert found["metadata"] == {**kept, "labels": {"x": "y"}}

    async def test_nothing_is_written_that_cannot_be_converted(
        self, client: Client, server: APIServer, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in("v1")
        webhook.raw = lambda: web.Response(text="garbage")
        message = await failure(client.create(WIDGETS_V2, v2()))
        assert message.startswith("conversion webhook for example.com/v2, Kind=Widget failed: ")
        assert server.objects.cached(key()) is None

    async def test_a_webhook_that_hangs_is_given_up(
        self, client: Client, clock: FakeClock, webhook: Webhook, stored_in: Redefine
    ) -> None:
        await stored_in()
        await client.create(WIDGETS, v1())
        webhook.released = asyncio.Event()
        reading = asyncio.create_task(failure(client.get(WIDGETS_V2, "a", namespace="default")))
        await webhook.server.asked.wait()
        await clock.advance(31)
        assert (await reading).endswith("context deadline exceeded")
        webhook.released.set()

    async def test_other_versions_need_no_webhook(self, client: Client, webhook: Webhook, stored_in: Redefine) -> None:
        await stored_in()
        await webhook.server.stop()
        await client.create(WIDGETS, v1())
        assert (await client.get(WIDGETS, "a", namespace="default"))["hostPort"] == "localhost:8080"
        assert "connection refused" in await failure(client.get(WIDGETS_V2, "a", namespace="default"))


async def test_a_converter_of_v1beta1_is_still_spoken_to(client: Client, webhook: Webhook, stored_in: Redefine) -> None:
    await stored_in(review_versions=("v9", "v1beta1"))
    await client.create(WIDGETS, v1())
    webhook.change_response = lambda response: {**response, "uid": "not checked"}
    assert (await client.get(WIDGETS_V2, "a", namespace="default"))["host"] == "localhost"
    assert webhook.reviews[0]["apiVersion"] == "apiextensions.k8s.io/v1beta1"


async def test_conversions_are_measured(client: Client, webhook: Webhook, stored_in: Redefine) -> None:
    await stored_in()
    await client.create(WIDGETS, v1())
    await client.get(WIDGETS_V2, "a", namespace="default")
    text = (await client.request("GET", "/metrics")).body.decode()
    labels = 'crd_name="widgets.example.com",from_version="v1",succeeded="true",to_version="v2"'
    assert f"apiserver_crd_conversion_webhook_duration_seconds_count{{{labels}}} 1" in text
    assert 'apiserver_conversion_webhook_request_total{failure_type="",result="success"} 1' in text


async def test_a_bundle_of_blanks_is_none(client: Client, webhook: Webhook, define: Define) -> None:
    crd = by_webhook(webhook)
    crd["spec"]["conversion"]["webhook"]["clientConfig"]["caBundle"] = base64.b64encode(b"\n").decode()
    await define(crd)
    await client.create(WIDGETS, v1())
    assert "certificate signed by unknown authority" in await failure(client.get(WIDGETS_V2, "a", namespace="default"))
