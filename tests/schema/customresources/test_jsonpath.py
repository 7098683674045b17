"""What JSONPaths find."""

from __future__ import annotations

from typing import Any

import pytest

from steersman.schema.customresources.jsonpath import JSONPathError, parse, text_of

OBJ: dict[str, Any] = {
    "metadata": {"name": "a", "labels": {"app.kubernetes.io/name": "n"}},
    "spec": {"ports": [{"name": "x", "port": 1}, {"name": "y", "port": 2}], "n": 3, "none": None},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]},
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".metadata.name", ["a"]),
        (".", [OBJ]),
        (".spec.absent.more", []),
        (".spec.ports[1].name", ["y"]),
        (".spec.ports[-1].name", ["y"]),
        (".spec.ports[*].port", [1, 2]),
        (".spec.ports[0:1].port", [1]),
        (".spec.ports[0,1].port", [1, 2]),
        (".metadata.labels['app.kubernetes.io/name']", ["n"]),
        (r".metadata.labels.app\.kubernetes\.io/name", ["n"]),
        ('.status.conditions[?(@.type=="Ready")].status', ["True"]),
        (".status.conditions[?(@.type == 'Absent')].status", []),
        (".spec.ports[?(@.port > 1)].name", ["y"]),
        (".spec.ports[?(@.port)].name", ["x", "y"]),
        ("..port", [1, 2]),
        (".spec.*", [OBJ["spec"]["ports"], 3, None]),
        (".spec.none.more", []),
    ],
)
def test_a_path_finds(path: str, found: list[Any]) -> None:
    assert parse(path).find(OBJ) == found


@pytest.mark.parametrize("path", [".a[", ".a[x]", ".a[?(@.b==1)", ".a{", "a b"])
def test_a_malformed_path_is_refused(path: str) -> None:
    with pytest.raises(JSONPathError):
        parse(path)


@pytest.mark.parametrize("path", [".spec.ports[7]", ".spec.n[0]", ".spec.ports[?(@.name > 1)]"])
def test_a_path_that_cannot_be_followed_fails(path: str) -> None:
    with pytest.raises(JSONPathError):
        parse(path).find(OBJ)


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (True, "true"), (3, "3"), (1.5, "1.5"), (None, ""), ({"b": [1], "a": 2}, '{"a":2,"b":[1]}')],
)
def test_values_are_printed_as_client_go_prints_them(value: Any, text: str) -> None:
    assert text_of(value) == text
