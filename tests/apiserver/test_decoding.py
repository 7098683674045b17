"""Bodies as clients send them, well-meant and hostile."""

from __future__ import annotations

import time

import pytest

from steersman.client.api import Client

PATH = "/api/v1/namespaces/default/configmaps"
YAML = {"content-type": "application/yaml"}


async def test_yaml_is_understood(client: Client) -> None:
    body = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  when: '2001-01-01'\n"
    answer = await client.request("POST", PATH, headers=YAML, body=body)
    assert (answer.status, answer.content["data"]) == (201, {"when": "2001-01-01"})


@pytest.mark.parametrize(
    ("query", "status"), [({}, 201), ({"fieldValidation": "Strict"}, 400), ({"fieldValidation": "Ignore"}, 201)]
)
async def test_unknown_and_duplicate_fields(client: Client, query: dict[str, str], status: int) -> None:
    body = b'{"metadata":{"name":"a","name":"b"},"nonsense":1}'
    answer = await client.request("POST", PATH, query=query, body=body)
    assert answer.status == status
    if not query:
        warning = answer.headers["warning"]
        assert 'duplicate field \\"metadata.name\\"' in warning
        assert 'unknown field \\"nonsense\\"' in warning
    if status == 400:
        assert answer.content["message"].startswith(
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
        )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "unexpected end of JSON input (<empty>)"),
        (b"hello", "invalid character 'h' looking for beginning of value"),
        (b"{", "unexpected end of JSON input ({)"),
        (b"[]", "cannot unmarshal array into Go value"),
        (b'{"metadata":{"name":NaN}}', "invalid character"),
        (b'{"metadata":{"name":"\xff"}}', "invalid UTF-8"),
        (b"[" * 10_000, ""),
        (b'{"a":' * 10_000, ""),
        (b'{"metadata":' * 5_000 + b"1" + b"}" * 5_000, ""),
    ],
)
async def test_malformed_json_is_a_bad_request(client: Client, body: bytes, text: str) -> None:
    began_s = time.process_time()
    answer = await client.request("POST", PATH, body=body)
    assert time.process_time() - began_s < 1
    assert (answer.status, answer.content["reason"]) == (400, "BadRequest")
    assert text in answer.content["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"a: [",
        b"a: &a [*a]",
        b"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
        b"d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
        b"g: [*e,*e,*e,*e,*e,*e,*e,*e,*e]",
        b"? [a]\n: b",
        b"!!python/object/apply:os.system ['true']",
        b"\xff\xfe\x00",
        b"[" * 3000,
    ],
)
async def test_malformed_yaml_is_a_bad_request(client: Client, body: bytes) -> None:
    began_s = time.process_time()
    answer = await client.request("POST", PATH, headers=YAML, body=body)
    assert time.process_time() - began_s < 2
    assert answer.status == 400


@pytest.mark.parametrize(("headers", "body"), [({}, b"null"), (YAML, b""), (YAML, b"# nothing\n")])
async def test_no_object_is_an_empty_one(client: Client, headers: dict[str, str], body: bytes) -> None:
    answer = await client.request("POST", PATH, headers=headers, body=body)
    assert answer.status == 422
    assert answer.content["message"] == (
        'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"a: b: c", "yaml: mapping values are not allowed in this context"),
        (b"a: 1\nb: [\n", "yaml: line 2: did not find expected node content"),
        (b"a: .nan", "json: unsupported value: NaN"),
    ],
)
async def test_malformed_yaml_says_where(client: Client, body: bytes, text: str) -> None:
    answer = await client.request("POST", PATH, headers=YAML, body=body)
    shown = f"the object provided is unrecognized (must be of type ConfigMap): {text} ({body.hex()})"
    assert (answer.status, answer.content["message"]) == (400, shown)


async def test_yaml_scalars_are_go_yamls(client: Client) -> None:
    body = b"metadata: {name: a}\ndata: {time: 12:30:45, date: 2020-01-01, version: 1.2.3, equals: =}\n"
    answer = await client.request("POST", PATH, headers=YAML, body=body)
    assert answer.content["data"] == {"time": "12:30:45", "date": "2020-01-01", "version": "1.2.3", "equals": "="}
    body = b"metadata: {name: b}\nspec: {ports: [{port: 0120}], healthCheckNodePort: 1e3, sessionAffinity: 0x1f}\n"
    answer = await client.request("POST", "/api/v1/namespaces/default/services", headers=YAML, body=body)
    assert "cannot unmarshal number into Go struct field ServiceSpec.spec.sessionAffinity" in answer.content["message"]


async def test_merge_keys_aliases_and_tags(client: Client) -> None:
    body = b"""
defaults: &defaults {a: "1", b: "2"}
metadata: {name: &name c}
data:
  <<: [*defaults, {b: "3", d: "4"}]
  a: "0"
  name: *name
  number: !!str 12
  1: one
  true: "yes"
"""
    answer = await client.request("POST", PATH, headers=YAML, body=body)
    expected = {"a": "0", "b": "2", "d": "4", "name": "c", "number": "12", "1": "one", "true": "yes"}
    assert (answer.status, answer.content["data"]) == (201, expected)


async def test_hostile_yaml_is_refused_quickly(client: Client) -> None:
    """Deep documents once exhausted the interpreter's stack."""
    deep = (b"[", b"{", b"- ", b"? ", b"{a: ")
    for body in (
        *(piece * (3_000_000 // len(piece)) for piece in deep),
        b"".join(b" " * n + b"a:\n" for n in range(2000)),
    ):
        answer = await client.request("POST", PATH, headers=YAML, body=body)
        assert "yaml: exceeded max depth" in answer.content["message"]
    for body in (b"a: 1\n" * 600_000, b"- 1\n" * 700_000):
        began_s = time.process_time()
        answer = await client.request("POST", PATH, headers=YAML, body=body)
        assert "yaml: document is too large" in answer.content["message"]
        assert time.process_time() - began_s < 2


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"a: *b", "yaml: unknown anchor 'b' referenced"),
        (b"a: &a [*a]", "yaml: anchor 'a' value contains itself"),
        (b"? [a]\n: b", "unsupported map key of type: []interface {}"),
        (b"<<: 1", "yaml: map merge requires map or sequence of maps as the value"),
        (b"a: !!int x", "yaml: cannot decode !!str `x` as a !!int"),
    ],
)
async def test_yaml_that_is_no_json(client: Client, body: bytes, text: str) -> None:
    answer = await client.request("POST", PATH, headers=YAML, body=body)
    assert (answer.status, text in answer.content["message"]) == (400, True)


async def test_keys_that_are_twice_in_yaml(client: Client) -> None:
    body = b"metadata: {name: a}\ndata:\n  a: b\n  a: c\nnonsense: 1\n"
    answer = await client.request("POST", PATH, headers=YAML, query={"fieldValidation": "Strict"}, body=body)
    assert (answer.status, answer.content["message"]) == (
        400,
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: yaml: unmarshal errors:\n'
        '  line 4: key "a" already set in map, unknown field "nonsense"',
    )
    answer = await client.request("POST", PATH, headers=YAML, body=body)
    assert (answer.status, answer.headers["warning"]) == (201, '299 - "unknown field \\"nonsense\\""')


async def test_big_integers_survive(client: Client) -> None:
    body = b'{"metadata":{"name":"a","namespace":"default"},"spec":{"replicas":99999999999999999999}}'
    answer = await client.request("POST", "/apis/apps/v1/namespaces/default/deployments", body=body)
    assert answer.status == 400
    assert "cannot unmarshal number" in answer.content["message"]


async def test_other_media_types_are_refused_cleanly(client: Client) -> None:
    headers = {"content-type": "application/cbor"}
    answer = await client.request("POST", PATH, headers=headers, body=b"\xd9\xd9\xf7\xa0")
    assert answer.status == 415
