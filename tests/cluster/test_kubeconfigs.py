"""The user's kubeconfig: our entries come and go, everything else stays."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import yaml

from steersman.cluster.kubeconfigs import Document, merge, remove, user_file


def document(name: str, server: str = "https://new") -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": {"token": "t"}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
        "preferences": {},
    }


def read(path: Path) -> Document:
    content: Document = yaml.safe_load(path.read_text())
    return content


def test_a_new_file_is_the_addition_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "config"
    merge(path, document("ours"))
    assert read(path) == document("ours")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["config"]


def test_other_entries_stay_and_older_ones_of_ours_are_replaced(tmp_path: Path) -> None:
    path = tmp_path / "config"
    merge(path, {**document("theirs"), "extensions": [{"name": "x"}]})
    merge(path, document("ours", "https://old"))
    merge(path, document("ours"))
    content = read(path)
    assert [entry["name"] for entry in content["clusters"]] == ["theirs", "ours"]
    assert content["clusters"][1]["cluster"]["server"] == "https://new"
    assert (content["current-context"], content["extensions"]) == ("ours", [{"name": "x"}])


def test_removing_takes_back_what_merging_put_there(tmp_path: Path) -> None:
    path = tmp_path / "config"
    merge(path, document("theirs"))
    merge(path, document("ours"))
    remove(path, document("ours"))
    remove(path, document("ours"))
    assert read(path) == {**document("theirs"), "current-context": ""}


def test_a_context_that_the_user_chose_since_stays_chosen(tmp_path: Path) -> None:
    path = tmp_path / "config"
    merge(path, document("ours"))
    merge(path, document("theirs"))
    remove(path, document("ours"))
    assert read(path)["current-context"] == "theirs"


def test_removing_from_a_file_that_is_not_there_makes_none(tmp_path: Path) -> None:
    remove(tmp_path / "config", document("ours"))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("text", ["- a", "a: [", "text"])
def test_a_file_that_is_no_kubeconfig_is_not_touched(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(ValueError, match="is not"):
        merge(path, document("ours"))
    assert path.read_text() == text


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    path, target = tmp_path / "config", tmp_path / "target"
    target.write_text("")
    path.symlink_to(target)
    merge(path, document("ours"))
    assert path.is_symlink()
    assert read(target) == document("ours")


def test_the_file_is_the_one_that_kubectl_would_change() -> None:
    assert user_file({"KUBECONFIG": ":/a:/b", "HOME": "/home/me"}) == Path("/a")
    assert user_file({"HOME": "/home/me"}) == Path("/home/me/.kube/config")
