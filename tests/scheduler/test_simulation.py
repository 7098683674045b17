"""Scenarios: one seed and one scenario give one result, and the picture shows every node."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from textwrap import dedent
from xml.etree import ElementTree

import pytest
import yaml
from click.testing import CliRunner

from steersman.cli.simulate import command
from steersman.meta import objects
from steersman.meta.objects import Object
from steersman.scheduler.component import DEFAULT_PLUGINS
from steersman.scheduler.external import adapted
from steersman.scheduler.profiles import PluginSpec
from steersman.scheduler.simulation import Result, ScenarioError, simulate
from steersman.scheduler.utilization_picture import picture
from tests.scheduler.builders import node, pod
from tests.scheduler.test_configuration import HEAD

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


def test_what_pods_wait_for_may_come_later_and_go_again() -> None:
    """Objects without a namespace are of the same one as pods without."""
    late = {"kind": "StorageClass", "metadata": {"name": "late"}, "provisioner": "p",
            "volumeBindingMode": "WaitForFirstConsumer"}  # fmt: skip
    claim = {"kind": "PersistentVolumeClaim", "metadata": {"name": "c"},
             "spec": {"storageClassName": "late", "accessModes": ["ReadWriteOnce"],
                      "resources": {"requests": {"storage": "1Gi"}}}}  # fmt: skip
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]
    first, second = ({"create": pod(name, volumes=volumes)} for name in ("first", "second"))
    steps = [{"create": node("n")}, {"create": late}, first, {"create": claim}]
    assert run(*steps).placements == {"default/first": "n"}
    result = run(*steps, {"delete": {"kind": "PersistentVolumeClaim", "name": "c"}}, second)
    assert 'persistentvolumeclaim "c" not found' in result.pending["default/second"]


def test_without_nodes_it_says_so() -> None:
    assert run({"create": pod("p")}).pending == {"default/p": "no nodes available to schedule pods"}


def test_a_plugin_that_fails_is_named_and_the_scenario_goes_on() -> None:
    class Broken:
        NAME = "Broken"

        def filter(self, obj: Object, of: Object) -> bool:
            if objects.name(obj) == "bad":
                raise RuntimeError("no")
            return True

    plugins = [*DEFAULT_PLUGINS, PluginSpec(name="Broken", make=partial(adapted, Broken), is_default=False)]
    profiles = [{"plugins": {"multiPoint": {"enabled": [{"name": "Broken"}]}}}]
    steps = [{"create": node("n")}, {"create": pod("bad")}, {"create": pod("good")}]
    result = simulate({"configuration": {**HEAD, "profiles": profiles}, "steps": steps}, plugins)
    assert result.placements == {"default/good": "n"}
    assert result.pending == {"default/bad": 'running "Broken" filter plugin: RuntimeError: no'}


def test_the_picture_has_every_resource_that_matters_and_room_for_names() -> None:
    long = "ip-10-0-0-1.eu-central-1.compute.internal"
    steps = {"create": node(long, more={"example.com/gpu": "2"})}, {"create": pod(requests={"ephemeral-storage": "0"})}
    drawn = ElementTree.fromstring(picture(run(*steps).nodes, "t"))
    texts = [entry.text for entry in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert "example.com/gpu (mean 0%)" in texts
    assert not any((text or "").startswith("ephemeral-storage") for text in texts)
    bars = [float(bar.get("x", 0)) for bar in drawn.iter("{http://www.w3.org/2000/svg}rect") if bar.get("x")]
    assert min(bars) > 6 * len(long)


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


def test_the_scenario_of_the_howto_page_works_as_it_stands(tmp_path: Path) -> None:
    page = (EXAMPLE.parents[2] / "docs" / "howto" / "explain-and-simulate.md").read_text()
    block = page[page.index("    seed: 7") : page.index("Objects are the API's")]
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(dedent(block))
    outcome = CliRunner().invoke(command, [str(scenario)])
    assert (outcome.exit_code, len(outcome.stdout.splitlines())) == (3, 24)


def test_a_picture_that_is_not_svg_is_refused(tmp_path: Path) -> None:
    outcome = CliRunner().invoke(command, [str(EXAMPLE), "--picture", str(tmp_path / "picture.png")])
    assert outcome.exit_code == 2
    assert "pictures are SVG" in outcome.output
