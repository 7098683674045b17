"""What kube-apiserver 1.36 answers to unusual requests: representations, methods, parameters, patches that do not fit."""

from __future__ import annotations

import json
from typing import Any

import pytest

from steersman.client.api import Client
from steersman.meta.objects import Object
from steersman.meta.resources import CONFIGMAPS, DEPLOYMENTS, Resource
from tests.apiserver.builders import config_map, deployment
from tests.apiserver.endpoints.test_answers import MAPS, failure


@pytest.mark.parametrize(
    ("accept", "code", "message"),
    [
        ("text/html", 406, "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf"),
        ("application/*", 406, "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf"),
        ("application/json;as=Nothing;g=meta.k8s.io;v=v1", 406, "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"),
        ("text/html, */*;q=0.1", 404, 'configmaps "a" not found'),
        ("application/yaml", 404, 'configmaps "a" not found'),
    ],
)  # fmt: skip
async def test_what_cannot_be_represented_is_refused_before_it_is_looked_for(
    client: Client, accept: str, code: int, message: str
) -> None:
    for method in ("GET", "DELETE"):
        answer = await client.request(method, f"{MAPS}/a", headers={"accept": accept})
        assert (answer.status, answer.content["message"]) == (code, message)


@pytest.mark.parametrize(
    ("resource", "accept", "message"),
    [
        (CONFIGMAPS, "text/html", "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf, application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"),
        (CONFIGMAPS, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", "you requested PartialObjectMetadata, but the requested object is a list (*core.ConfigMapList)"),
        (DEPLOYMENTS, "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", "you requested PartialObjectMetadata, but the requested object is a list (*apps.DeploymentList)"),
    ],
)  # fmt: skip
async def test_lists_that_cannot_be_represented(client: Client, resource: Resource, accept: str, message: str) -> None:
    answer = await client.request("GET", resource.path("default"), headers={"accept": accept})
    assert (answer.status, answer.content["message"]) == (406, message)


async def test_a_watch_has_no_yaml(client: Client) -> None:
    answer = await client.request("GET", MAPS, query={"watch": "true"}, headers={"accept": "application/yaml"})
    accepted = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch"
    assert (answer.status, answer.content["message"]) == (
        406,
        f"only the following media types are accepted: {accepted}",
    )


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/api", 405), ("/api/v1", 405), ("/apis/apps/v1", 405), ("/version", 405), ("/api/v2", 404), ("/apis/apps/v9", 404),
        ("/api/v1/namespaces/default/nodes", 404), ("/readyz/nothing", 404),
        ("/apis", 200), ("/apis/apps", 200), ("/healthz", 200), ("/openapi/v3", 200), ("/", 200),
    ],
)  # fmt: skip
async def test_what_is_routed_has_its_methods_and_what_is_not_takes_any(client: Client, path: str, code: int) -> None:
    for method in ("HEAD", "POST", "PUT", "OPTIONS"):
        assert (await client.request(method, path)).status == code, method


@pytest.mark.parametrize("path", ["/apis", "/api", "/api/v1", "/apis/apps", "/apis/apps/v1"])
async def test_documents_of_discovery_are_sent_as_what_they_are(client: Client, path: str) -> None:
    answer = await client.request("GET", path, headers={"accept": "application/json;as=Table;g=meta.k8s.io;v=v1"})
    assert (answer.status, answer.content["reason"]) == (406, "NotAcceptable")


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("watch=true&continue=abc", 422, 'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden when continue is provided'),
        ("continue=!&resourceVersion=1", 400, "invalid continue token: continue key is not valid: illegal base64 data at input byte 0"),
        ("timeout=1", 400, 'invalid timeout specified in the request URL - time: missing unit in duration "1"'),
        ("timeout=1d", 400, 'invalid timeout specified in the request URL - time: unknown unit "d" in duration "1d"'),
    ],
)  # fmt: skip
async def test_parameters_of_lists_that_contradict_themselves(
    client: Client, query: str, code: int, message: str
) -> None:
    status = await failure(client, "GET", f"{MAPS}?{query}")
    assert (status["code"], status["message"]) == (code, message)


async def test_a_timeout_that_is_no_time_is_none(client: Client) -> None:
    assert (await client.request("GET", MAPS, query={"timeout": "-1s"})).status == 200


async def test_an_empty_propagation_policy_is_no_policy(client: Client) -> None:
    await client.create(CONFIGMAPS, config_map())
    status = await failure(client, "DELETE", f"{MAPS}/a?propagationPolicy=")
    assert (status["code"], status["details"]["causes"][0]["reason"]) == (422, "FieldValueNotSupported")


async def test_a_collection_that_is_deleted_in_part_says_what_remains(client: Client) -> None:
    for name in ("a", "b", "c"):
        await client.create(CONFIGMAPS, config_map(name))
    metadata = (await client.request("DELETE", MAPS, query={"limit": "2", "dryRun": "All"})).content["metadata"]
    assert metadata["remainingItemCount"] == 1
    assert metadata["continue"]


async def test_a_body_whose_media_type_is_malformed_is_refused(client: Client) -> None:
    assert (await failure(client, "POST", MAPS, config_map(), "application/json; charset"))["code"] == 415
    answer = await client.request(
        "POST",
        MAPS,
        headers={"content-type": "application/json; charset=utf-8;"},
        body=json.dumps(config_map()).encode(),
    )
    assert answer.status == 201


@pytest.mark.parametrize(
    ("patch", "message"),
    [
        ({"spec": 5}, '"map[spec:5]": cannot restore struct from: int64'),
        ({"spec": {"replicas": "x"}}, '"map[spec:map[replicas:x]]": unrecognized type: int32'),
        ({"spec": {"replicas": 1.5}}, '"map[spec:map[replicas:1.5]]": cannot convert float64 to int32'),
        ({"metadata": {"labels": 5}}, '"map[metadata:map[labels:5]]": cannot restore map from int64'),
        ({"metadata": {"finalizers": {}}}, '"map[metadata:map[finalizers:map[]]]": cannot restore slice from map'),
    ],
)  # fmt: skip
async def test_a_strategic_merge_patch_of_the_wrong_type_is_shown_itself(
    client: Client, patch: Object, message: str
) -> None:
    await client.create(DEPLOYMENTS, deployment())
    media_type = "application/strategic-merge-patch+json"
    status = await failure(client, "PATCH", DEPLOYMENTS.path("default", "a"), patch, media_type)
    assert (status["code"], status["message"]) == (422, f' "" is invalid: patch: Invalid value: {message}')


@pytest.mark.parametrize(
    ("patch", "code", "message"),
    [
        ([], 400, "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ({"$setElementOrder/foo": []}, 500, 'unable to find api field in struct ConfigMap for the json field "foo"'),
    ],
)
async def test_strategic_merge_patches_that_do_not_fit(client: Client, patch: Any, code: int, message: str) -> None:
    await client.create(CONFIGMAPS, config_map())
    status = await failure(client, "PATCH", f"{MAPS}/a", patch, "application/strategic-merge-patch+json")
    assert (status["code"], status["message"]) == (code, message)


async def test_yaml_is_written_as_upstream_writes_it(client: Client) -> None:
    data = {
        "boolean": "yes", "number": "12", "day": "2026-01-01", "time": "12:30:00", "empty": "", "plain": "a b", "colon": "a: b",
        "lines": "a\nb\n", "long": f"{'word ' * 20}end", "infinite": ".inf", "date": "2026-01-01T00:00:00Z", "null": "null",
    }  # fmt: skip
    await client.create(CONFIGMAPS, config_map() | {"data": data})
    answer = await client.request("GET", f"{MAPS}/a", headers={"accept": "application/yaml"})
    text = answer.body.decode()
    assert text[text.index("data:") : text.index("kind:")].splitlines() == [
        "data:",
        '  boolean: "yes"',
        "  colon: 'a: b'",
        '  date: "2026-01-01T00:00:00Z"',
        '  day: "2026-01-01"',
        '  empty: ""',
        '  infinite: ".inf"',
        "  lines: |",
        "    a",
        "    b",
        "  long: word word word word word word word word word word word word word word word",
        "    word word word word word end",
        '  "null": "null"',
        '  number: "12"',
        "  plain: a b",
        '  time: "12:30:00"',
    ]


async def test_flow_schemas_are_shown_in_the_order_in_which_they_match(client: Client) -> None:
    path = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas"
    table = (
        await client.request("GET", path, headers={"accept": "application/json;as=Table;g=meta.k8s.io;v=v1"})
    ).content
    order = [(int(row["cells"][2]), row["cells"][0]) for row in table["rows"]]
    assert order == sorted(order)
    assert (order[0], order[-1]) == ((1, "exempt"), (10000, "catch-all"))
    names = [item["metadata"]["name"] for item in (await client.request("GET", path)).content["items"]]
    assert names == sorted(names)


async def test_objects_of_flow_control_say_who_made_them(client: Client) -> None:
    obj = (await client.request("GET", "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/catch-all")).content
    managers = {entry["manager"] for entry in obj["metadata"]["managedFields"]}
    assert "api-priority-and-fairness-config-producer-v1" in managers
    assert "kube-apiserver" not in managers


async def test_the_index_lists_each_check(client: Client) -> None:
    paths = (await client.request("GET", "/")).content["paths"]
    assert {"/apis/", "/healthz/etcd", "/livez/ping", "/readyz/shutdown", "/openapi/v3/"} <= set(paths)
    assert paths == sorted(paths)
    assert not [path for path in paths if path.startswith("/debug")]
