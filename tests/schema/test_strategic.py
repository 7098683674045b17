"""Strategic merge patch merges lists by their keys, keeps order, and obeys its directives."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.meta.errors import APIError, BadRequest
from steersman.schema.strategic import strategic_merge

POD = "io.k8s.api.core.v1.Pod"
SERVICE = "io.k8s.api.core.v1.Service"
DEPLOYMENT = "io.k8s.api.apps.v1.Deployment"
CONFIG_MAP = "io.k8s.api.core.v1.ConfigMap"


def containers(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"spec": {"containers": list(entries)}}


def c(name: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, **fields}


def finalizers(*names: str) -> dict[str, Any]:
    return {"metadata": {"finalizers": list(names)}}


def order(*names: str) -> list[dict[str, str]]:
    return [{"name": name} for name in names]


MERGES: list[tuple[str, str, Any, Any, Any]] = [
    ("maps merge", CONFIG_MAP, {"data": {"a": "1"}}, {"data": {"b": "2"}}, {"data": {"a": "1", "b": "2"}}),
    ("null deletes", CONFIG_MAP, {"data": {"a": "1"}}, {"data": {"a": None, "x": None}}, {"data": {}}),
    ("added maps have no nulls", CONFIG_MAP, {}, {"data": {"a": None, "b": "1"}}, {"data": {"b": "1"}}),
    ("elements merge by key", POD, containers(c("a", image="1", tty=True), c("b", image="1")), containers(c("b", image="2")),
     containers(c("a", image="1", tty=True), c("b", image="2"))),
    ("new elements come first, as upstream places them", POD, containers(c("a"), c("b")), containers(c("z")), containers(c("z"), c("a"), c("b"))),
    ("the patch's order wins among its elements", POD, containers(c("a"), c("b"), c("d")), containers(c("d"), c("a")),
     containers(c("b"), c("d"), c("a"))),
    ("$patch delete removes an element", POD, containers(c("a"), c("b")), containers({"name": "a", "$patch": "delete"}),
     containers(c("b"))),
    ("deleting an absent element does nothing", POD, containers(c("a")), containers({"name": "x", "$patch": "delete"}),
     containers(c("a"))),
    ("$patch replace in a list replaces it", POD, containers(c("a"), c("b")), containers(c("z"), {"$patch": "replace"}),
     containers(c("z"))),
    ("$patch replace in a map replaces it", CONFIG_MAP, {"data": {"a": "1"}}, {"data": {"$patch": "replace", "b": "2"}},
     {"data": {"b": "2"}}),
    ("$patch delete in a map empties it", CONFIG_MAP, {"data": {"a": "1"}}, {"data": {"$patch": "delete"}}, {"data": {}}),
    ("lists without a strategy are replaced", POD, containers(c("a", args=["x", "y"])), containers(c("a", args=["z"])),
     containers(c("a", args=["z"]))),
    ("scalar lists merge as sets", POD, finalizers("a", "b"), finalizers("b", "z"), finalizers("a", "b", "z")),
    ("elements of scalar lists are deleted by name", POD, finalizers("a", "b", "c"),
     {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"]}}, finalizers("a", "c")),
    ("deleting from an absent list does nothing", POD, {"metadata": {}},
     {"metadata": {"$deleteFromPrimitiveList/finalizers": ["b"]}}, {"metadata": {}}),
    ("$setElementOrder arranges", POD, containers(c("a"), c("b"), c("d")),
     {"spec": {"$setElementOrder/containers": order("d", "a")}}, containers(c("b"), c("d"), c("a"))),
    ("$setElementOrder with elements", POD, containers(c("a"), c("server"), c("b")),
     {"spec": {"$setElementOrder/containers": order("new", "b", "a"), "containers": [c("new"), c("b", image="2")]}},
     containers(c("new"), c("server"), c("b", image="2"), c("a"))),
    ("$setElementOrder of an absent list does nothing", POD, {"spec": {}},
     {"spec": {"$setElementOrder/containers": order("a")}}, {"spec": {}}),
    ("$retainKeys drops the others", DEPLOYMENT,
     {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}, "replicas": 1}},
     {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}},
     {"spec": {"strategy": {"type": "Recreate"}, "replicas": 1}}),
    ("ports merge by number", SERVICE, {"spec": {"ports": [{"port": 80, "name": "a"}]}},
     {"spec": {"ports": [{"port": 80, "targetPort": 8080}, {"port": 443}]}},
     {"spec": {"ports": [{"port": 80, "name": "a", "targetPort": 8080}, {"port": 443}]}}),
    ("a value of another type is replaced", CONFIG_MAP, {"data": {"a": "1"}}, {"data": {"a": {"b": None}}}, {"data": {"a": {}}}),
    ("unknown fields are added for the decoder to drop", POD, {"spec": {}}, {"spec": {"foo": 1}}, {"spec": {"foo": 1}}),
    ("a bare directive adds nothing", POD, {"spec": {}}, {"spec": {"securityContext": {"$patch": "delete"}}}, {"spec": {}}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("definition", "original", "patch", "expected"),
    [case[1:] for case in MERGES],
    ids=[case[0] for case in MERGES],
)
def test_merge(definition: str, original: Any, patch: Any, expected: Any) -> None:
    before, patch_before = copy.deepcopy(original), copy.deepcopy(patch)
    assert strategic_merge(original, patch, definition) == expected
    assert (original, patch) == (before, patch_before)


REFUSED: list[tuple[type[APIError], str, Any, Any, str]] = [
    (APIError, POD, containers(c("a")), containers({"image": "x"}), "map: map[image:x] does not contain declared merge key: name"),
    (APIError, POD, containers(c("a")), containers({"name": "a", "$patch": "frob"}), "unknown patch type: frob in map: map[$patch:frob name:a]"),
    (APIError, POD, {"spec": {"foo": {}}}, {"spec": {"foo": {"a": 1}}}, 'unable to find api field in struct PodSpec for the json field "foo"'),
    (APIError, POD, containers(c("a")), {"spec": {"containers": ["x"]}}, "list element types are not identical: [[map[name:a]] [x]]"),
    (APIError, POD, containers(c("a")), {"spec": {"$setElementOrder/containers": order("b", "a"), "containers": [c("a"), c("b")]}},
     "The order in patch list:\n[map[name:a] map[name:b]]\n doesn't match $setElementOrder list:\n[map[name:b] map[name:a]]\n"),
    (BadRequest, DEPLOYMENT, {"spec": {"strategy": {}}}, {"spec": {"strategy": {"$retainKeys": ["x"], "type": "Recreate"}}}, "invalid patch format of retainKeys"),
    (BadRequest, POD, {}, {"$setElementOrder": []}, "invalid patch format of setElementOrder list"),
    (BadRequest, POD, {}, {"$deleteFromPrimitiveList": []}, "invalid patch format of primitive list"),
]  # fmt: skip


@pytest.mark.parametrize(("failure", "definition", "original", "patch", "text"), REFUSED)
def test_patches_that_contradict_the_structure_are_refused(
    failure: type[APIError], definition: str, original: Any, patch: Any, text: str
) -> None:
    with pytest.raises(failure) as refused:
        strategic_merge(original, patch, definition)
    assert refused.value.message == text
    assert refused.value.http_code == failure.code


def test_a_patch_is_an_object() -> None:
    with pytest.raises(BadRequest):
        strategic_merge({}, [], POD)


def test_what_a_patch_does_not_touch_is_shared() -> None:
    original = {"metadata": {"labels": {"a": "b"}}, **containers(c("a"), c("b"))}
    patched = strategic_merge(original, containers(c("b", image="2")), POD)
    assert patched["metadata"] is original["metadata"]
    assert patched["spec"]["containers"][0] is original["spec"]["containers"][0]


NAMES = st.lists(st.sampled_from("abcdef"), unique=True, max_size=5)
IMAGES = st.sampled_from(["1", "2", None])


@given(NAMES, NAMES, st.data())
def test_a_merged_list_holds_both_sides_by_key_and_keeps_the_patchs_order(
    live: list[str], wanted: list[str], data: st.DataObject
) -> None:
    """Against a model: a dict by name for the content, and the relative orders of patch and live for the order."""
    original = [c(name, image="0") for name in live]
    patch = [c(name, image=data.draw(IMAGES)) for name in wanted]
    deleted = data.draw(st.sets(st.sampled_from("abcdef"))) - set(wanted)
    directives = [{"name": name, "$patch": "delete"} for name in sorted(deleted)]
    merged = strategic_merge(containers(*original), containers(*patch, *directives), POD)["spec"]["containers"]

    model = {entry["name"]: dict(entry) for entry in original if entry["name"] not in deleted}
    for entry in patch:
        known = entry["name"] in model
        target = model.setdefault(entry["name"], {})
        target.update(entry)
        if entry["image"] is None and known:
            del target["image"]
    assert {entry["name"]: entry for entry in merged} == model
    assert len(merged) == len(model)
    names = [entry["name"] for entry in merged]
    assert [name for name in names if name in wanted] == wanted
    assert [name for name in names if name not in wanted] == [
        name for name in live if name not in wanted and name not in deleted
    ]


@given(NAMES, NAMES)
def test_setting_the_order_arranges_all_it_names(live: list[str], wanted: list[str]) -> None:
    patch = {"spec": {"$setElementOrder/containers": order(*wanted)}}
    if not live:
        return
    merged = strategic_merge(containers(*[c(name) for name in live]), patch, POD)["spec"]["containers"]
    names = [entry["name"] for entry in merged]
    assert sorted(names) == sorted(live)
    assert [name for name in names if name in wanted] == [name for name in wanted if name in live]


@given(NAMES, NAMES)
def test_scalar_lists_are_united_and_deletions_undo_additions(live: list[str], added: list[str]) -> None:
    merged = strategic_merge(finalizers(*live), finalizers(*added), POD)["metadata"]["finalizers"]
    assert sorted(merged) == sorted({*live, *added})
    undone = strategic_merge(
        {"metadata": {"finalizers": merged}}, {"metadata": {"$deleteFromPrimitiveList/finalizers": added}}, POD
    )
    assert undone["metadata"]["finalizers"] == [name for name in merged if name not in added]
