"""Plugins from outside: the documented example works, and a bad one is named and harms nobody else."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from steersman.meta.objects import Object
from steersman.scheduler.component import DEFAULT_PLUGINS
from steersman.scheduler.configuration import ConfigurationError, read_configuration
from steersman.scheduler.core import SchedulerCore
from steersman.scheduler.external import adapted, from_entry_points, from_file
from steersman.scheduler.plugin_calls import PluginFailed
from steersman.scheduler.pod_info import parse_pod
from steersman.scheduler.profiles import PluginSpec
from tests.scheduler.builders import cluster_of, node, pod
from tests.scheduler.test_configuration import HEAD

EXAMPLE = Path(__file__).parents[2] / "examples" / "scheduler" / "cheap_nodes.py"
PRICES = [
    node("cheap", labels={"example.com/price": "1"}),
    node("dear", labels={"example.com/price": "99"}),
    node("unknown"),
]


def core_with(specs: list[PluginSpec], *names: str) -> SchedulerCore:
    enabled = [{"name": name, "weight": 100} for name in names]
    document = {**HEAD, "profiles": [{"plugins": {"multiPoint": {"enabled": enabled}}}]}
    return SchedulerCore(read_configuration(document, [*DEFAULT_PLUGINS, *specs]).frameworks, cluster_of(*PRICES))


def with_budget(budget: str) -> Object:
    return pod(metadata={"annotations": {"example.com/budget": budget}})


@pytest.mark.parametrize("name", ["CheapNodes", "CheapNodesAtOnce"])
class TestTheExample:
    def test_scores(self, name: str) -> None:
        decision = core_with(from_file(str(EXAMPLE)), name).decide(parse_pod(pod()), runners_up=2)
        assert decision.node_name == "cheap"
        assert {score.node_name: score.by_plugin[name] for score in decision.best} == {
            "cheap": 9900, "dear": 100, "unknown": 5000,
        }  # fmt: skip

    def test_filters(self, name: str) -> None:
        core = core_with(from_file(str(EXAMPLE)), name)
        found = core.search(parse_pod(with_budget("50")))
        assert sorted(found.names()) == ["cheap", "unknown"]
        refused = core.decide(parse_pod(with_budget("0")))
        assert refused.diagnosis is not None
        assert refused.diagnosis.message.startswith(
            "0/3 nodes are available: 3 node(s) were too expensive for the pod."
        )


def spec_of(cls: type[Any], timeout_s: float = 5.0) -> PluginSpec:
    return PluginSpec(name=cls.NAME, make=lambda args: adapted(cls, args, timeout_s), is_default=False)


def test_a_plugin_that_raises_is_named() -> None:
    class Broken:
        NAME = "Broken"

        def filter(self, pod: Any, node: Any) -> bool:
            raise RuntimeError("no idea")

    core = core_with([spec_of(Broken)], "Broken")
    with pytest.raises(PluginFailed, match='running "Broken" filter plugin: RuntimeError: no idea'):
        core.decide(parse_pod(pod()))


def test_scores_out_of_range_and_wrong_shapes_are_refused() -> None:
    class TooMuch:
        NAME = "TooMuch"

        def score(self, pod: Any, node: Any) -> int:
            return 101

    class WrongShape:
        NAME = "WrongShape"
        VECTOR = True

        def filter(self, pod: Any, table: Any) -> Any:
            return [True]

    with pytest.raises(PluginFailed, match="outside 0 to 100"):
        core_with([spec_of(TooMuch)], "TooMuch").decide(parse_pod(pod()))
    with pytest.raises(PluginFailed, match="shape"):
        core_with([spec_of(WrongShape)], "WrongShape").decide(parse_pod(pod()))


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


def test_a_plugin_that_hangs_is_out_of_use_until_it_comes_back(
    release: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    class Hanging:
        NAME = "Hanging"

        def filter(self, pod: Any, node: Any) -> bool:
            return release.wait(60)

    core = core_with([spec_of(Hanging, 0.2)], "Hanging")
    with pytest.raises(PluginFailed, match=r"took longer than 0\.2 s"):
        core.decide(parse_pod(pod("p1")))
    slow = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert slow == ["Filter plugin Hanging took longer than 0.1 s; it holds up every pod of its profile"]
    with pytest.raises(PluginFailed, match="an earlier call has not come back"):
        core.decide(parse_pod(pod("p2")))
    release.set()
    guard_is_free = False
    for _ in range(1000):
        try:
            guard_is_free = bool(core.decide(parse_pod(pod("p3"))).node_name)
            break
        except PluginFailed:
            threading.Event().wait(0.01)
    assert guard_is_free


def test_files_without_plugins_are_refused(tmp_path: Path) -> None:
    empty = tmp_path / "empty.py"
    empty.write_text("x = 1\n")
    with pytest.raises(ConfigurationError, match="defines no class with a NAME"):
        from_file(str(empty))
    broken = tmp_path / "broken.py"
    broken.write_text("raise ValueError('at import')\n")
    with pytest.raises(ConfigurationError, match="ValueError: at import"):
        from_file(str(broken))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A distribution with one plugin, as pip would install it."""
    (tmp_path / "gold_nodes.py").write_text(
        "class GoldNodes:\n    NAME = 'GoldNodes'\n\n    def filter(self, pod, node):\n"
        "        return node['metadata']['name'] == 'dear'\n"
    )
    metadata = tmp_path / "gold_nodes-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: gold-nodes\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[steersman.scheduler.plugins]\ngold = gold_nodes:GoldNodes\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return tmp_path


@pytest.mark.usefixtures("installed")
def test_an_installed_plugin_takes_part_where_a_profile_names_it() -> None:
    specs = from_entry_points()
    assert [spec.name for spec in specs] == ["GoldNodes"]
    assert core_with(specs, "GoldNodes").search(parse_pod(pod())).names() == ["dear"]
    assert len(core_with(specs).search(parse_pod(pod())).names()) == 3


def test_an_installed_plugin_that_cannot_be_loaded_is_named(installed: Path) -> None:
    (installed / "gold_nodes-1.0.dist-info" / "entry_points.txt").write_text(
        "[steersman.scheduler.plugins]\ngold = no_such_module:GoldNodes\n"
    )
    with pytest.raises(ConfigurationError, match="entry point gold: No module named 'no_such_module'"):
        from_entry_points()
