"""Scenarios: one seed and one scenario give one result, and the picture shows every node."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from click.testing import CliRunner

from steersman.cli.simulate import command
from steersman.meta.objects import Object
from steersman.scheduler.component import DEFAULT_PLUGINS
from steersman.scheduler.simulation import Result, ScenarioError, simulate
from tests.scheduler.builders import node, pod

EXAMPLE = Path(__file__).parents[2] / "examples" / "scheduler" / "scenario.yaml"


def run(*steps: Object, seed: int = 0) -> Result:
    return simulate({"seed": seed, "steps": list(steps)}, DEFAULT_PLUGINS)


def many(obj: Object, count: int) -> Object:
    return {"create": {**obj, "metadata": {"name": obj["metadata"]["name"]}}, "count": count}


def test_the_same_seed_gives_the_same_placements_and_another_one_others() -> None:
    steps = (many(node("n"), 20), many(pod("p", cpu="100m"), 15))
    assert run(*steps, seed=1) == run(*steps, seed=1)
    assert run(*steps, seed=1).placements != run(*steps, seed=2).placements


def test_pods_wait_for_what_comes_later() -> None:
    result = run({"create": pod("p", cpu="2")}, {"create": node("small", cpu="1")}, {"create": node("large", cpu="2")})
    assert result.placements == {"default/p": "large"}
    assert not result.pending


def test_room_that_a_deleted_pod_leaves_is_used() -> None:
    result = run(
        {"create": node("n", cpu="1")}, {"create": pod("first", cpu="1")}, {"create": pod("second", cpu="1")},
        {"delete": {"kind": "Pod", "name": "first"}},
    )  # fmt: skip
    assert result.placements == {"default/second": "n"}


def test_preempted_pods_are_gone() -> None:
    result = run(
        {"create": node("n", cpu="1")}, {"create": pod("low", cpu="1")}, {"create": pod("high", cpu="1", priority=9)}
    )
    assert result.preempted == ("default/low",)
    assert result.placements == {"default/high": "n"}


def test_what_a_scenario_does_not_know_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"steps\[0\]\.craete: unknown field"):
        run({"craete": {}})
    with pytest.raises(ScenarioError, match="kind 'Deployment' does nothing here"):
        run({"create": {"kind": "Deployment", "metadata": {"name": "x"}}})


def test_the_example_is_placed_and_drawn(tmp_path: Path) -> None:
    drawing = tmp_path / "picture.svg"
    outcome = CliRunner().invoke(command, [str(EXAMPLE), "--picture", str(drawing)])
    assert outcome.exit_code == 3
    placements = dict(line.split() for line in outcome.stdout.splitlines())
    assert sum(name.startswith("default/web-") for name in placements) == 9
    assert "pending default/batch-6: 0/6 nodes are available: 6 Insufficient cpu." in outcome.stderr
    texts = {entry.text for entry in ElementTree.parse(drawing).iter("{http://www.w3.org/2000/svg}text")}
    assert {f"node-{number}" for number in range(6)} <= texts
    assert len(yaml.safe_load(EXAMPLE.read_text())["steps"]) == 4


def test_a_picture_that_is_not_svg_is_refused(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(command, [str(EXAMPLE), "--picture", str(tmp_path / "picture.png")])
    assert outcome.exit_code == 2
    assert "pictures are SVG" in outcome.output
