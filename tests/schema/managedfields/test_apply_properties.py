"""Apply against a model: an object as a flat table of leaves, and who claims which of them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from steersman.schema.managedfields import merging
from steersman.schema.managedfields.comparison import compare
from steersman.schema.managedfields.conflict import ApplyConflict
from steersman.schema.managedfields.operations import apply, update
from steersman.schema.managedfields.typed import type_of

CONFIG_MAP = type_of("io.k8s.api.core.v1.ConfigMap")
POD_SPEC = type_of("io.k8s.api.core.v1.PodSpec")
DATA = st.dictionaries(st.sampled_from("abc"), st.sampled_from("12"), max_size=3)
STEP = st.tuples(st.sampled_from(["apply", "force", "update"]), st.sampled_from(["p", "q"]), DATA)


def config_map(data: dict[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": data}


class Model:
    """Values by key, appliers and updaters by key."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.claims: dict[tuple[str, str], set[str]] = {}

    def apply(self, manager: str, data: dict[str, str], *, force: bool) -> bool:
        """False: conflicts."""
        me = ("Apply", manager)
        lost = {key for key, value in data.items() if self.values.get(key) != value}
        if not force and any(lost & keys for owner, keys in self.claims.items() if owner != me):
            return False
        last = self.claims.get(me, set())
        for owner in self.claims:
            if owner != me:
                self.claims[owner] -= lost
        self.claims[me] = set(data)
        claimed = set().union(*self.claims.values())
        self.values = {key: value for key, value in self.values.items() if key in claimed or key not in last}
        self.values.update(data)
        return True

    def update(self, manager: str, data: dict[str, str]) -> None:
        took = {key for key, value in data.items() if self.values.get(key) != value}
        gone = self.values.keys() - data.keys()
        for owner in self.claims:
            self.claims[owner] -= took | gone
        self.claims.setdefault(("Update", manager), set()).update(took)
        self.values = dict(data)


@given(st.lists(STEP, max_size=8))
def test_a_history_of_writes_ends_as_in_the_model(steps: list[tuple[str, str, dict[str, str]]]) -> None:
    model = Model()
    model.update("creator", {"z": "0"})
    live = update(None, config_map({"z": "0"}), manager="creator", api_version="v1", now=0, structure=CONFIG_MAP)
    for how, manager, data in steps:
        if how == "update":
            new = {**live, "data": {**data, "z": "0"}}
            model.update(manager, {**data, "z": "0"})
            live = update(live, new, manager=manager, api_version="v1", now=0, structure=CONFIG_MAP)
        else:
            force = how == "force"
            expected = model.apply(manager, data, force=force)
            try:
                live = apply(
                    live, config_map(data), manager=manager, api_version="v1", force=force, now=0, structure=CONFIG_MAP
                )
                assert expected
            except ApplyConflict:
                assert not expected
        assert live["data"] == model.values
        claims = {
            (entry["operation"], entry["manager"]): {
                step[2:] for step in entry["fieldsV1"].get("f:data", {}) if step != "."
            }
            for entry in live["metadata"]["managedFields"]
        }
        assert {owner: keys for owner, keys in claims.items() if keys} == {
            owner: keys for owner, keys in model.claims.items() if keys
        }


NAMES = st.lists(st.sampled_from("abcdef"), unique=True, max_size=5)


def containers(names: list[str], **fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": name, **fields} for name in names]}


@given(NAMES, NAMES)
def test_merging_lists_keeps_all_elements_and_the_configurations_order(live: list[str], wanted: list[str]) -> None:
    merged = merging.merged(containers(live, image="1"), containers(wanted, tty=True), POD_SPEC).get("containers", [])
    names = [entry["name"] for entry in merged]
    assert sorted(names) == sorted({*live, *wanted})
    assert [name for name in names if name in wanted] == wanted
    assert [name for name in names if name not in wanted] == [name for name in live if name not in wanted]
    for entry in merged:
        assert ("image" in entry, "tty" in entry) == (entry["name"] in live, entry["name"] in wanted)


@given(NAMES, NAMES)
def test_what_was_merged_in_can_be_taken_out(live: list[str], wanted: list[str]) -> None:
    extra = [name for name in wanted if name not in live]
    merged = merging.merged(containers(live), containers(extra), POD_SPEC)
    back = merging.removed(merged, merging.fields_of(containers(extra), POD_SPEC), POD_SPEC)
    assert [entry["name"] for entry in back.get("containers", [])] == live


@given(NAMES, NAMES)
def test_comparison_is_symmetric(left: list[str], right: list[str]) -> None:
    one, other = containers(left, image="1"), containers(right, image="2")
    there, back = compare(one, other, POD_SPEC), compare(other, one, POD_SPEC)
    assert there.added == back.removed
    assert there.removed == back.added
    assert there.modified == back.modified
    same = compare(one, containers(left, image="1"), POD_SPEC)
    assert (same.added, same.removed, same.modified) == ({}, {}, {})
