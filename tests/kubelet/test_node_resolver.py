"""The node's own resolv.conf: as it is now, and whether pods can be given all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from steersman.kubelet.node_resolver import NodeResolver


def test_it_is_read_as_it_is_now(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 192.0.2.1\n")
    resolver = NodeResolver(file)
    assert resolver.read().servers == ("192.0.2.1",)
    assert resolver.read() is resolver.read(), "as long as it is the same"
    file.with_suffix(".new").write_text("nameserver 192.0.2.2\n")
    file.with_suffix(".new").rename(file)
    assert resolver.read().servers == ("192.0.2.2",)
    file.unlink()
    with pytest.raises(FileNotFoundError):
        resolver.read()
    assert NodeResolver(None).read().servers == ()


@pytest.mark.parametrize(
    ("searches", "domain", "problem"),
    [
        (["a"] * 29, "cluster.local", ""),
        (["a"] * 30, "cluster.local", "contains search line consisting of more than 29 domains!"),
        (["a"] * 32, "", ""),
        (["a"] * 33, "", "contains search line consisting of more than 32 domains!"),
        (["a" * 254], "", "contains a search path which length is more than allowed 253 chars!"),
        (["a" * 250] * 9, "", "contains search line which length is more than allowed 2048 chars!"),
    ],
)
def test_what_pods_cannot_be_given(tmp_path: Path, searches: list[str], domain: str, problem: str) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(f"search {' '.join(searches)}\n")
    assert NodeResolver(file).problem(domain).endswith(problem)
    assert bool(NodeResolver(file).problem(domain)) == bool(problem)


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    missing = tmp_path / "resolv.conf"
    assert NodeResolver(missing).problem("") == f"open {missing}: no such file or directory"
    assert NodeResolver(None).problem("") == ""
