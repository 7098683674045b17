"""References to images: what short names mean, and what is none."""

from __future__ import annotations

import pytest

from steersman.meta.imagereferences import parse

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.35", "docker.io/library/busybox:1.35"),
        ("user/image", "docker.io/user/image:latest"),
        ("docker.io/busybox", "docker.io/library/busybox:latest"),
        ("index.docker.io/busybox", "docker.io/library/busybox:latest"),
        ("localhost/a/b:1", "localhost/a/b:1"),
        ("localhost:5000/a", "localhost:5000/a:latest"),
        ("host.example/a/b", "host.example/a/b:latest"),
        ("Host/a", "Host/a:latest"),
        (f"a@{DIGEST}", f"docker.io/library/a@{DIGEST}"),
        (f"a:1@{DIGEST}", f"docker.io/library/a:1@{DIGEST}"),
        ("a__b-c.d", "docker.io/library/a__b-c.d:latest"),
    ],
)
def test_a_reference_is_made_whole(text: str, whole: str) -> None:
    assert str(parse(text)) == whole


@pytest.mark.parametrize(
    "text", ["", ":", "a:", "a b", "a//b", "-a", "a:tag:tag", "a@sha256:12", "http://a/b", "a" * 300]
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


def test_the_message_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="must be lowercase"):
        parse("Upper")
    with pytest.raises(ValueError, match="64-byte hexadecimal"):
        parse("a" * 64)
