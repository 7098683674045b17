"""The objects of every cluster: made, kept, and left to the users who take them over."""

from __future__ import annotations

import pytest

from steersman.aio.clock import FakeClock
from steersman.apiserver.component import APIServer
from steersman.apiserver.flowcontrol import bootstrap
from steersman.apiserver.flowcontrol.configuration import ENSURE_S
from steersman.client.api import Client
from steersman.meta import objects
from steersman.meta.errors import NotFound
from steersman.meta.objects import Object
from steersman.meta.resources import FLOWSCHEMAS, PRIORITYLEVELCONFIGURATIONS
from steersman.testing.waiting import eventually

LEVEL = next(level for level in bootstrap.levels() if objects.name(level) == "system")
EXEMPT = next(level for level in bootstrap.levels() if objects.name(level) == "exempt")


def _stored(
    wanted: Object, *, annotation: str | None = "true", generation: int = 1, shares: int | None = None
) -> Object:
    annotations = {} if annotation is None else {bootstrap.AUTOUPDATE: annotation}
    spec = wanted["spec"]
    if shares is not None:
        spec = {**spec, "limited": {**spec["limited"], "nominalConcurrencyShares": shares}}
    return {
        **wanted,
        "metadata": {**wanted["metadata"], "annotations": annotations, "generation": generation},
        "spec": spec,
    }


@pytest.mark.parametrize(
    ("annotation", "generation", "shares", "is_restored", "annotated"),
    [
        ("true", 3, 7, True, "true"),
        ("false", 3, 7, False, "false"),
        (None, 1, 7, True, "true"),
        (None, 2, 7, False, "false"),
        ("perhaps", 2, 7, False, "false"),
        ("true", 1, 30, True, "true"),
    ],
)
def test_suggested_objects_are_updated_unless_users_took_them_over(
    annotation: str | None, generation: int, shares: int, is_restored: bool, annotated: str
) -> None:
    current = _stored(LEVEL, annotation=annotation, generation=generation, shares=shares)
    revised = bootstrap.revised(current, LEVEL) or current
    assert (revised["spec"] == LEVEL["spec"]) is is_restored
    assert objects.annotations(revised)[bootstrap.AUTOUPDATE] == annotated


def test_nothing_is_written_where_nothing_is_to_change() -> None:
    assert bootstrap.revised(_stored(LEVEL), LEVEL) is None
    assert bootstrap.revised(_stored(LEVEL, annotation="false", shares=7), LEVEL) is None


def test_mandatory_objects_are_as_they_are_but_for_what_is_exempt() -> None:
    lent = {**EXEMPT, "spec": {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 5, "lendablePercent": 50}}}
    assert bootstrap.revised(_stored(lent, annotation="true"), EXEMPT) is None
    revised = bootstrap.revised(_stored(lent, annotation="false"), EXEMPT)
    assert revised is not None
    assert objects.annotations(revised)[bootstrap.AUTOUPDATE] == "true"


async def test_a_new_cluster_has_them_all_and_no_schema_dangles(client: Client) -> None:
    levels = {objects.name(level): level for level in (await client.list(PRIORITYLEVELCONFIGURATIONS)).items}
    assert sorted(levels) == [
        "catch-all", "exempt", "global-default", "leader-election", "node-high", "system", "workload-high", "workload-low",
    ]  # fmt: skip
    assert all(objects.annotations(level)[bootstrap.AUTOUPDATE] == "true" for level in levels.values())
    schemas = (await client.list(FLOWSCHEMAS)).items
    assert len(schemas) == 11
    for schema in schemas:
        condition = objects.condition(schema, "Dangling") or {}
        assert (condition["status"], condition["reason"]) == ("False", "Found")


async def test_what_was_deleted_comes_back_and_what_is_obsolete_goes(
    server: APIServer, client: Client, clock: FakeClock
) -> None:
    await client.delete(FLOWSCHEMAS, "probes")
    await client.delete(PRIORITYLEVELCONFIGURATIONS, "catch-all")
    obsolete = {**LEVEL, "metadata": {"name": "old", "annotations": {bootstrap.AUTOUPDATE: "true"}}}
    own = {**LEVEL, "metadata": {"name": "own"}}
    await client.create(PRIORITYLEVELCONFIGURATIONS, obsolete)
    await client.create(PRIORITYLEVELCONFIGURATIONS, own)
    await clock.advance(ENSURE_S + 1)
    assert await client.get(FLOWSCHEMAS, "probes")
    assert await client.get(PRIORITYLEVELCONFIGURATIONS, "catch-all")
    assert await client.get(PRIORITYLEVELCONFIGURATIONS, "own")
    with pytest.raises(NotFound):
        await client.get(PRIORITYLEVELCONFIGURATIONS, "old")


async def test_a_second_look_writes_nothing(server: APIServer, client: Client, clock: FakeClock) -> None:
    before = server.objects.revision
    await clock.advance(3 * ENSURE_S)
    assert server.objects.revision == before


async def test_a_schema_dangles_until_its_level_exists(client: Client, clock: FakeClock) -> None:
    rule = {
        "subjects": [{"kind": "User", "user": {"name": "joe"}}],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    }
    schema = {
        "metadata": {"name": "mine"},
        "spec": {"priorityLevelConfiguration": {"name": "own"}, "matchingPrecedence": 500, "rules": [rule]},
    }
    await client.create(FLOWSCHEMAS, schema)

    async def dangling() -> str:
        condition = objects.condition(await client.get(FLOWSCHEMAS, "mine"), "Dangling") or {}
        return str(condition.get("status"))

    async def dangles() -> bool:
        return await dangling() == "True"

    await eventually(dangles, clock=clock)
    condition = objects.condition(await client.get(FLOWSCHEMAS, "mine"), "Dangling") or {}
    assert condition["message"] == (
        'This FlowSchema references the PriorityLevelConfiguration object named "own" but there is no such object'
    )
    await client.create(PRIORITYLEVELCONFIGURATIONS, {**LEVEL, "metadata": {"name": "own"}})

    async def is_found() -> bool:
        return await dangling() == "False"

    await eventually(is_found, clock=clock)
