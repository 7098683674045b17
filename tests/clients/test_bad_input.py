"""Bad and hostile input over real TLS: upstream's code, reason and message, and nobody else notices."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from steersman.client.kubeconfig import load
from tests.clients.conftest import ServedCluster
from tests.clients.manifests import Manifest, config_map, deployment, pod, service

JSON = {"content-type": "application/json"}
YAML = {"content-type": "application/yaml"}
MERGE = {"content-type": "application/merge-patch+json"}
STRATEGIC = {"content-type": "application/strategic-merge-patch+json"}
JSON_PATCH = {"content-type": "application/json-patch+json"}
LIMIT_BYTES = 3 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def content(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.content["message"])


class Wire:
    """Requests byte by byte as they are given, each on a connection of its own."""

    def __init__(self, served: ServedCluster, namespace: str = "default") -> None:
        self.port = served.port
        self.namespace = namespace
        self.tls = ssl.create_default_context(cafile=str(served.directory / "ca.crt"))
        self.tls.load_cert_chain(served.directory / "admin.crt", served.directory / "admin.key")

    def path(self, plural: str, name: str = "", prefix: str = "/api/v1") -> str:
        return f"{prefix}/namespaces/{self.namespace}/{plural}" + (f"/{name}" if name else "")

    def __call__(
        self,
        method: str,
        path: str,
        body: bytes | Manifest = b"",
        headers: Mapping[str, str] = JSON,
        *,
        limit_s: float = 1.0,
    ) -> Answer:
        """The answer, which has to come within ``limit_s``."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=self.tls, timeout=20)
        began_s = time.monotonic()
        try:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            connection.request(method, path, data, dict(headers))
            answer = connection.getresponse()
            found = Answer(
                status=answer.status,
                headers={name.lower(): value for name, value in answer.getheaders()},
                body=answer.read(),
            )
        finally:
            connection.close()
        assert time.monotonic() - began_s < limit_s, f"{method} {path} took {time.monotonic() - began_s:.2f} s"
        return found

    def post(
        self, body: bytes | Manifest, headers: Mapping[str, str] = JSON, plural: str = "configmaps", query: str = ""
    ) -> Answer:
        return self("POST", self.path(plural) + query, body, headers)

    def connect(self) -> ssl.SSLSocket:
        return self.tls.wrap_socket(socket.create_connection(("127.0.0.1", self.port)), server_hostname="127.0.0.1")

    def names(self, plural: str) -> set[str]:
        listed = self("GET", self.path(plural)).content["items"]
        return {item["metadata"]["name"] for item in listed} - {"kube-root-ca.crt"}


@pytest.fixture
def wire(served: ServedCluster) -> Iterator[Wire]:
    """In a namespace of the test's own."""
    wire = Wire(served, f"test-{uuid.uuid4().hex[:8]}")
    wire("POST", "/api/v1/namespaces", {"metadata": {"name": wire.namespace}})
    yield wire
    assert wire("GET", "/readyz").body == b"ok"
    wire("DELETE", f"/api/v1/namespaces/{wire.namespace}")


def test_the_kubeconfig_is_one(served: ServedCluster) -> None:
    assert load(served.kubeconfig()).server == f"https://127.0.0.1:{served.port}"


# -- bodies that are no objects

_UNRECOGNIZED = "the object provided is unrecognized (must be of type ConfigMap): "
_PARSE = f"{_UNRECOGNIZED}couldn't get version/kind; json parse error: "


@pytest.mark.parametrize(
    ("body", "headers", "message"),
    [
        (b"", JSON, f"{_PARSE}unexpected end of JSON input (<empty>)"),
        (b'{"kind":', JSON, f'{_PARSE}unexpected end of JSON input ({{"kind":)'),
        (b"{kind:1}", JSON, f"{_PARSE}invalid character 'k' looking for beginning of object key string ({{kind:1}})"),
        (b'{"a":NaN}', JSON, f"{_PARSE}invalid character 'N' looking for beginning of value ({{\"a\":NaN}})"),
        (b'{"a":"\xff"}', JSON, f'{_PARSE}invalid UTF-8 in string ({{"a":"\ufffd"}})'),
        (b'{"kind":5}', JSON, f'{_PARSE}json: cannot unmarshal number into Go struct field .kind of type string ({{"kind":5}})'),
        (b"a: b: c", YAML, f"{_UNRECOGNIZED}yaml: mapping values are not allowed in this context (613a20623a2063)"),
        (b"a: .nan", YAML, f"{_UNRECOGNIZED}json: unsupported value: NaN (613a202e6e616e)"),
    ],
)  # fmt: skip
def test_malformed_bodies(wire: Wire, body: bytes, headers: Mapping[str, str], message: str) -> None:
    answer = wire.post(body, headers)
    assert (answer.status, answer.content["reason"], answer.message) == (400, "BadRequest", message)


@pytest.mark.parametrize(
    "body",
    [
        b'{"metadata":{"name":"deep"},"data":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"metadata":{"name":"deep"},"data":' + b'{"a":' * 10_000 + b"1" + b"}" * 10_000 + b"}",
        b"[" * LIMIT_BYTES,
    ],
)
def test_deep_nesting(wire: Wire, body: bytes) -> None:
    for headers in (JSON, YAML):
        answer = wire.post(body, headers)
        assert (answer.status, answer.content["reason"]) == (400, "BadRequest")
    for headers in (MERGE, STRATEGIC):
        answer = wire("PATCH", wire.path("configmaps", "deep"), body, headers)
        assert answer.status == 400


def test_yaml_aliases_do_not_multiply(wire: Wire, served: ServedCluster) -> None:
    before = served.resident_bytes
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    answer = wire.post("\n".join(lines).encode(), YAML)
    assert (answer.status, "yaml: document contains excessive aliasing" in answer.message) == (400, True)
    assert wire.post(b"a: &a\n  b: *a\n", YAML).status == 400
    assert served.resident_bytes - before < 64 << 20


def test_bodies_that_are_too_large(wire: Wire) -> None:
    answer = wire.post(config_map(key="x" * LIMIT_BYTES))
    assert (answer.status, answer.content["reason"]) == (413, "RequestEntityTooLarge")
    assert answer.message == "Request entity too large: limit is 3145728"
    assert wire.names("configmaps") == set()


def test_a_body_that_claims_to_be_huge(wire: Wire, served: ServedCluster) -> None:
    """Refused after the first bytes over the limit: the rest is never read."""
    before = served.resident_bytes
    with wire.connect() as connection:
        head = f"POST {wire.path('configmaps')} HTTP/1.1\r\nhost: x\r\ncontent-length: {1 << 40}\r\n\r\n"
        connection.sendall(head.encode())
        try:
            for _ in range(64):
                connection.sendall(b"x" * (1 << 18))
        except (ConnectionError, ssl.SSLError):
            pass
        else:
            assert connection.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
    assert served.resident_bytes - before < 64 << 20


def test_a_gzip_bomb(wire: Wire, served: ServedCluster) -> None:
    """Compressed bodies are not understood, as upstream does not: nothing is inflated."""
    bomb = gzip.compress(b'{"metadata":{"name":"bomb"},"data":{"key":"' + b"x" * (200 << 20) + b'"}}', 9)
    before = served.resident_bytes
    answer = wire.post(bomb, {**JSON, "content-encoding": "gzip"})
    assert (answer.status, answer.content["reason"]) == (400, "BadRequest")
    assert served.resident_bytes - before < 32 << 20


@pytest.mark.parametrize("headers", [{"content-type": "application/xml"}, {"content-type": "/;;;"}])
def test_other_media_types(wire: Wire, headers: Mapping[str, str]) -> None:
    answer = wire.post(config_map(), headers)
    assert (answer.status, answer.content["reason"]) == (415, "UnsupportedMediaType")
    assert answer.message.startswith(
        "the body of the request was in an unknown format - accepted media types include: "
    )
    answer = wire("GET", wire.path("configmaps"), headers={"accept": "text/html"})
    assert (answer.status, answer.content["reason"]) == (406, "NotAcceptable")


# -- objects that are not what they should be


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "Nope"}, 'Nope in version "v1" cannot be handled as a ConfigMap: no kind "Nope" is registered for version "v1" in scheme'),
        ({"kind": "Pod"}, 'Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): unknown conversion'),
        ({"apiVersion": "v2"}, 'ConfigMap in version "v2" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for version "v2"'),
        ({"apiVersion": "a/b/c"}, "the object provided is unrecognized (must be of type ConfigMap): unexpected GroupVersion string: a/b/c"),
        ({"data": {"a": 1}}, 'ConfigMap in version "v1" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string'),
        ({"data": []}, "json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string"),
        ({"metadata": []}, "json: cannot unmarshal array into Go struct field ConfigMap.metadata of type v1.ObjectMeta"),
        ({"metadata": {"name": 1}}, "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string"),
        ({"metadata": {"name": "a", "creationTimestamp": "x"}}, 'parsing time "x" as "2006-01-02T15:04:05Z07:00": cannot parse "x" as "2006"'),
        ({"metadata": {"name": "a", "namespace": "other"}}, "the namespace of the provided object does not match the namespace sent on the request"),
    ],
)  # fmt: skip
def test_wrong_kinds_and_types(wire: Wire, change: Manifest, message: str) -> None:
    answer = wire.post({**config_map(), **change})
    assert (answer.status, answer.content["reason"]) == (400, "BadRequest")
    assert message in answer.message
    assert wire.names("configmaps") == set()


def test_wrong_types_deep_inside(wire: Wire) -> None:
    broken = pod()
    broken["spec"]["containers"][0]["ports"] = [{"containerPort": "80"}]
    answer = wire.post(broken, plural="pods")
    field = "ContainerPort.spec.containers.ports.containerPort"
    assert answer.message == (
        f'Pod in version "v1" cannot be handled as a Pod: json: cannot unmarshal string into Go struct field {field} of type int32'
    )
    broken["spec"]["containers"][0] = {"name": "a", "image": "b", "resources": {"limits": {"cpu": "abc"}}}
    assert "quantities must match the regular expression" in wire.post(broken, plural="pods").message


_SUBDOMAIN = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.'"


@pytest.mark.parametrize(
    ("plural", "body", "causes"),
    [
        ("configmaps", {"kind": "ConfigMap"}, {"metadata.name": "Required value: name or generateName is required"}),
        ("configmaps", config_map("a" * 254), {"metadata.name": "must be no more than 253 characters"}),
        ("configmaps", config_map("A_b"), {"metadata.name": f'Invalid value: "A_b": {_SUBDOMAIN}'}),
        ("configmaps", config_map("a/b"), {"metadata.name": _SUBDOMAIN}),
        ("configmaps", config_map("a", **{"a b": "c"}), {"data[a b]": "a valid config key must consist of"}),
        (
            "services",
            {**service(), "metadata": {"name": "s" * 64}},
            {"metadata.name": "must be no more than 63 characters"},
        ),
        ("pods", {"metadata": {"name": "p"}}, {"spec.containers": "Required value"}),
        (
            "pods",
            pod(containers=[{}], restartPolicy="Sometimes"),
            {
                "spec.containers[0].name": "Required value",
                "spec.containers[0].image": "Required value",
                "spec.restartPolicy": 'Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
            },
        ),
    ],
)
def test_missing_and_illegal_values(wire: Wire, plural: str, body: Manifest, causes: Mapping[str, str]) -> None:
    answer = wire.post(body, plural=plural)
    assert (answer.status, answer.content["reason"]) == (422, "Invalid")
    found = {cause["field"]: cause["message"] for cause in answer.content["details"]["causes"]}
    assert found.keys() == causes.keys()
    for field, text in causes.items():
        assert text in found[field]
        assert f"{field}: " in answer.message
    assert wire.names(plural) == set()


def test_deployments_and_jobs(wire: Wire) -> None:
    path = wire.path("deployments", prefix="/apis/apps/v1")
    answer = wire("POST", path, {"metadata": {"name": "x"}})
    assert answer.status == 422
    assert answer.message.startswith('Deployment.apps "x" is invalid: ')
    mismatched = deployment()
    mismatched["spec"]["template"]["metadata"]["labels"] = {"app": "other"}
    assert wire("POST", path, mismatched).message == (
        'Deployment.apps "web" is invalid: spec.template.metadata.labels: Invalid value: {"app":"other"}: '
        "`selector` does not match template `labels`"
    )
    job = {"metadata": {"name": "x"}, "spec": {"template": {"spec": {"containers": [{"name": "a", "image": "b"}]}}}}
    answer = wire("POST", wire.path("jobs", prefix="/apis/batch/v1"), job)
    assert answer.content["details"]["causes"] == [
        {
            "reason": "FieldValueRequired",
            "message": 'Required value: valid values: "OnFailure", "Never"',
            "field": "spec.template.spec.restartPolicy",
        }
    ]


# -- unknown and duplicate fields


@pytest.mark.parametrize("headers", [JSON, YAML])
@pytest.mark.parametrize(("validation", "status"), [("Strict", 400), ("Warn", 201), ("Ignore", 201), ("", 201)])
def test_unknown_and_duplicate_fields(wire: Wire, headers: Mapping[str, str], validation: str, status: int) -> None:
    if headers is JSON:
        body, twice = b'{"metadata":{"name":"a"},"data":{"k":"1","k":"2"},"nope":1}', 'duplicate field "data.k"'
    else:
        body = b"metadata: {name: a}\ndata:\n  k: '1'\n  k: '2'\nnope: 1\n"
        twice = 'yaml: unmarshal errors:\n  line 4: key "k" already set in map'
    answer = wire.post(body, headers, query=f"?fieldValidation={validation}" if validation else "")
    assert answer.status == status
    unknown = 'unknown field "nope"'
    if validation == "Strict":
        assert answer.message == (
            f'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: {twice}, {unknown}'
        )
        return
    assert answer.content["data"] == {"k": "2"}
    expected = [] if validation == "Ignore" else [twice, unknown] if headers is JSON else [unknown]
    quoted = [text.replace('"', '\\"') for text in expected]
    assert answer.headers.get("warning", "") == ", ".join(f'299 - "{text}"' for text in quoted)


def test_strict_patches(wire: Wire) -> None:
    wire.post(config_map())
    path = wire.path("configmaps", "settings") + "?fieldValidation=Strict"
    answer = wire("PATCH", path, b'{"data":{"b":"1","b":"2"},"nope":1}', MERGE)
    assert answer.status == 422
    assert 'strict decoding error: duplicate field "data.b", unknown field "nope"' in answer.message
    answer = wire("PATCH", path, b'[{"op":"add","path":"/nope","value":1}]', JSON_PATCH)
    assert (answer.status, 'strict decoding error: unknown field "nope"' in answer.message) == (422, True)


def test_many_warnings_stay_within_what_clients_take(wire: Wire) -> None:
    answer = wire.post({**config_map(), **{f"{number}{'x' * 5000}": 1 for number in range(50)}})
    assert answer.status == 201
    assert 1000 < len(answer.headers["warning"]) < 8000


# -- patches


def test_refused_patches_leave_the_object_alone(wire: Wire) -> None:
    wire.post(config_map())
    path = wire.path("configmaps", "settings")
    before = wire("GET", path).body
    operation = {"op": "add", "path": "/data/key", "value": "x"}
    answer = wire("PATCH", path, json.dumps([operation] * 10_001).encode(), JSON_PATCH)
    assert (answer.status, answer.content["reason"]) == (413, "RequestEntityTooLarge")
    text = "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"
    assert answer.message == text
    refused: list[tuple[Mapping[str, str], Any, int]] = [
        (JSON_PATCH, [{"op": "test", "path": "/data/key", "value": "no"}], 422),
        (JSON_PATCH, [operation, {"op": "remove", "path": "/nope"}], 422),
        (JSON_PATCH, [{"op": "zap", "path": "/data"}], 422),
        (JSON_PATCH, [{"op": "copy", "from": "/data", "path": f"/data/a{n}"} for n in range(30)], 422),
        (JSON_PATCH, {"op": "add"}, 400),
        (MERGE, [], 400),
        (MERGE, {"data": {"key": 1}}, 422),
        (MERGE, {"kind": "Pod"}, 422),
        (MERGE, {"metadata": {"name": "other"}}, 400),
        (MERGE, {"metadata": {"resourceVersion": "1"}}, 409),
        (STRATEGIC, {"data": []}, 422),
        ({"content-type": "text/plain"}, {}, 415),
    ]
    for headers, patch, status in refused:
        answer = wire("PATCH", path, json.dumps(patch).encode(), headers)
        assert answer.status == status, (patch, answer.body)
        assert answer.content["kind"] == "Status"
    assert wire("GET", path).body == before
    assert wire("PATCH", path, json.dumps([operation] * 10_000).encode(), JSON_PATCH).status == 200


# -- paths and methods


_NOT_SERVED = """
/nope /apis/nope /apis/nope/v1/things /apis//v1 //api/v1/namespaces /healthz/..
"""
_NOT_SERVED_IN_GROUPS = """
/api/v2 /api/v1/nopes /apis/apps/v9/deployments /api//v1/namespaces /apis/apps/v1/namespaces/default/pods
/api/v1/namespaces/default/../kube-system/configmaps /api/v1/namespaces/default/configmaps/a%2fb
/api/v1/namespaces/default/configmaps/a/nope
"""


@pytest.mark.parametrize("path", [*_NOT_SERVED.split(), "/" + "a" * 9000])
def test_paths_that_are_not_served(wire: Wire, path: str) -> None:
    answer = wire("GET", path)
    assert (answer.status, answer.body) == (404, b"404 page not found\n")


@pytest.mark.parametrize("path", _NOT_SERVED_IN_GROUPS.split())
def test_paths_that_are_not_served_in_groups_that_are(wire: Wire, path: str) -> None:
    answer = wire("GET", path)
    assert (answer.status, answer.message) == (404, "the server could not find the requested resource")


def test_strange_names_are_only_names(wire: Wire) -> None:
    names = {"..": "..", "%2e%2e": "..", "a%252fb": "a%2fb", "%00": r"\x00", "a%0d%0ax:y": r"a\r\nx:y"}
    for name, shown in names.items():
        answer = wire("GET", wire.path("configmaps", name))
        assert (answer.status, answer.message) == (404, f'configmaps "{shown}" not found'), name
        assert "x" not in answer.headers
    for path in ("/%", "/api/v1/%zz"):
        assert wire("GET", path).status == 400


def test_methods_that_are_not_allowed(wire: Wire) -> None:
    pods = wire.path("pods")
    for method, path in (
        ("PUT", pods),
        ("PATCH", pods),
        ("POST", f"{pods}/x"),
        ("POST", "/api/v1/pods"),
        ("DELETE", "/api/v1/pods"),
    ):
        answer = wire(method, path, pod())
        assert (answer.status, answer.content["reason"]) == (405, "MethodNotAllowed"), (method, path)
        assert answer.message == "the server does not allow this method on the requested resource"
    assert wire("FOO", pods).status in (400, 405)
    assert wire.names("pods") == set()


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("labelSelector=a%20b%20c", 400, "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("fieldSelector=a", 400, "invalid selector: 'a'; can't understand 'a'"),
        ("fieldSelector=data.x%3D1", 400, '"data.x" is not a known field selector: only "metadata.name", "metadata.namespace"'),
        ("limit=x", 400, 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("continue=x", 400, "invalid continue token: "),
        ("resourceVersion=x", 400, 'strconv.ParseUint: parsing "x": invalid syntax'),
        ("resourceVersionMatch=Exact", 422, "resourceVersionMatch is forbidden unless resourceVersion is provided"),
    ],
)  # fmt: skip
def test_query_parameters(wire: Wire, query: str, status: int, message: str) -> None:
    answer = wire("GET", f"{wire.path('configmaps')}?{query}")
    assert (answer.status, message in answer.message) == (status, True), answer.body


def test_identities(wire: Wire) -> None:
    answer = wire("GET", wire.path("pods"), headers={"impersonate-user": "nobody"})
    assert (answer.status, answer.content["reason"]) == (403, "Forbidden")
    answer = wire("GET", wire.path("pods"), headers={"impersonate-group": "x"})
    assert (answer.status, "without impersonating a user name" in answer.message) == (400, True)


# -- others go on


def test_headers_that_are_too_large(wire: Wire, served: ServedCluster) -> None:
    assert wire("GET", "/version", headers={"x-big": "x" * 60_000}).status == 200
    before = served.resident_bytes
    for path, headers in (
        ("/version", {"x-big": "x" * 1_000_000}),
        ("/version", {f"x-{number}": "y" for number in range(2000)}),
        ("/" + "a" * 1_000_000, {}),
    ):
        with contextlib.suppress(OSError):  # the connection is closed before all of it was sent
            assert 400 <= wire("GET", path, headers=headers).status < 500
    assert served.resident_bytes - before < 32 << 20
    assert "Traceback" not in served.log


def test_slow_clients_hold_nobody_up(wire: Wire) -> None:
    """Headers and bodies that never come to an end, and readers that do not read, beside quick requests."""
    slow = [wire.connect() for _ in range(30)]
    try:
        for number, connection in enumerate(slow):
            connection.sendall(b"POST /api/v1/namespaces/default/configmaps HTTP/1.1\r\nhost: x\r\n")
            if number % 2:
                connection.sendall(b'content-type: application/json\r\ncontent-length: 1000\r\n\r\n{"metadata":')
        for _ in range(50):
            assert wire("GET", "/readyz", limit_s=0.5).status == 200
        slow[1].sendall(b" " * (1000 - len(b'{"metadata":')))
        assert slow[1].recv(1 << 16).startswith(b"HTTP/1.1 400 ")
    finally:
        for connection in slow:
            connection.close()


def test_hostile_requests_beside_honest_ones(wire: Wire, served: ServedCluster) -> None:
    """Everything expensive at once, again and again, while others read and write as usual."""
    hostile: list[tuple[bytes, Mapping[str, str]]] = [
        (b'{"metadata":' * 200_000, JSON),
        (b"[" * LIMIT_BYTES, YAML),
        (b"\n".join(b"k%d: &k%d [%b]" % (n, n, b",".join([b"*k%d" % (n - 1)] * 9) if n else b"x") for n in range(9)), YAML),
        (config_map_of_size(LIMIT_BYTES + 1), JSON),
        (b'{"a":1,' + b'"b":1,' * 300_000, JSON),
    ]  # fmt: skip
    stop = threading.Event()
    failures: list[str] = []

    def attack(body: bytes, headers: Mapping[str, str]) -> None:
        while not stop.is_set():
            try:
                status = wire("POST", "/api/v1/namespaces/default/configmaps", body, headers, limit_s=30).status
            except (ConnectionError, ssl.SSLError):
                continue  # refused before all of it was sent
            if not 400 <= status < 500:
                failures.append(f"{status} for {body[:20]!r}")

    before = served.resident_bytes
    threads = [threading.Thread(target=attack, args=entry) for entry in hostile]
    for thread in threads:
        thread.start()
    try:
        slowest_s = 0.0
        for number in range(40):
            began_s = time.monotonic()
            assert wire("POST", wire.path("configmaps"), config_map(f"honest-{number}"), limit_s=20).status == 201
            slowest_s = max(slowest_s, time.monotonic() - began_s)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures
    assert slowest_s < 3
    assert len(wire.names("configmaps")) == 40
    assert served.resident_bytes - before < 128 << 20


def config_map_of_size(size_bytes: int) -> bytes:
    return json.dumps(config_map(key="x" * size_bytes)).encode()
