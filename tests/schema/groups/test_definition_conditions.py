"""What the server concludes about CustomResourceDefinitions."""

from __future__ import annotations

from typing import Any

from steersman.meta.objects import Object, condition
from steersman.schema.groups.apiextensions import conditions

NOW = 1_767_225_600.0


def crd(plural: str = "widgets", kind: str = "Widget", *, status: Any = None, **names: Any) -> Object:
    return {
        "metadata": {"name": f"{plural}.example.com"},
        "spec": {
            "group": "example.com",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind, "listKind": f"{kind}List", **names},
            "versions": [{"name": "v1", "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
        "status": status or {"acceptedNames": {"plural": "", "kind": ""}, "conditions": []},
    }


def statuses(obj: Object) -> dict[str, str]:
    return {entry["type"]: entry["status"] for entry in obj["status"]["conditions"]}


def test_free_names_are_accepted_and_the_definition_is_established() -> None:
    found = conditions.reconciled(crd(shortNames=["w"]), [], NOW)
    assert statuses(found) == {"NamesAccepted": "True", "Established": "True"}
    assert found["status"]["acceptedNames"] == found["spec"]["names"]
    assert conditions.is_servable(found)


def test_a_second_look_changes_nothing() -> None:
    found = conditions.reconciled(crd(), [], NOW)
    assert conditions.reconciled(found, [found], NOW + 60) is found


def test_a_kind_that_another_definition_has_is_not_accepted() -> None:
    first = conditions.reconciled(crd(), [], NOW)
    second = conditions.reconciled(crd("gadgets"), [first], NOW)
    accepted = condition(second, "NamesAccepted") or {}
    assert (accepted["status"], accepted["reason"]) == ("False", "ListKindConflict")
    assert accepted["message"] == '"WidgetList" is already in use'
    assert statuses(second)["Established"] == "False"
    assert second["status"]["acceptedNames"]["plural"] == "gadgets"
    assert not conditions.is_servable(second)


def test_a_name_that_was_given_up_is_accepted() -> None:
    first = conditions.reconciled(crd(), [], NOW)
    second = conditions.reconciled(crd("gadgets", "Gadget", shortNames=["widget"]), [first], NOW)
    assert (condition(second, "NamesAccepted") or {})["reason"] == "ShortNamesConflict"
    assert statuses(conditions.reconciled(second, [], NOW)) == {"NamesAccepted": "True", "Established": "True"}


def test_an_established_definition_keeps_its_names_in_a_conflict() -> None:
    other = conditions.reconciled(crd("gadgets", "Gadget"), [], NOW)
    found = conditions.reconciled(crd(), [other], NOW)
    renamed = {**found, "spec": {**found["spec"], "names": {**found["spec"]["names"], "singular": "gadget"}}}
    found = conditions.reconciled(renamed, [other], NOW)
    assert statuses(found) == {"NamesAccepted": "False", "Established": "True"}
    assert found["status"]["acceptedNames"]["singular"] == "widget"


def test_names_of_other_groups_do_not_matter() -> None:
    other = conditions.reconciled(crd(), [], NOW)
    other["metadata"]["name"], other["spec"]["group"] = "widgets.example.org", "example.org"
    assert statuses(conditions.reconciled(crd(), [other], NOW))["NamesAccepted"] == "True"


def test_a_schema_that_is_not_structural_is_told() -> None:
    bad = crd()
    bad["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = {"type": "object", "properties": {"a": {}}}
    found = conditions.reconciled(bad, [], NOW)
    told = condition(found, "NonStructuralSchema") or {}
    assert (told["status"], told["reason"]) == ("True", "Violations")
    found["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = {"type": "object"}
    assert condition(conditions.reconciled(found, [], NOW), "NonStructuralSchema") is None


def test_a_deletion_begins_with_the_cleanup() -> None:
    found = conditions.deletion_begun(conditions.reconciled(crd(), [], NOW), NOW)
    assert found["metadata"]["finalizers"] == [conditions.CLEANUP_FINALIZER]
    assert (condition(found, "Terminating") or {})["reason"] == "InstanceDeletionPending"
    done = conditions.cleaned_up(found, "InstanceDeletionCompleted", "removed all instances", NOW)
    assert "finalizers" not in done["metadata"]
    assert statuses(done)["Terminating"] == "False"
