"""The command takes upstream's flags, and refuses what it does not know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from steersman.cli.program import Collector
from steersman.cli.scheduler import command, read_flags
from steersman.scheduler.component import SchedulerConfig


def flags(config_file: str, **given: Any) -> SchedulerConfig:
    config, _ = read_flags(
        config_file=config_file, seed=0, plugin_files=(), pod_max_in_unschedulable_pods_duration="5m", **given
    )
    return config


def test_flags_of_leader_election_win_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"
        "leaderElection: {leaderElect: true, resourceName: mine}\n"
    )
    election = flags(
        config_file=str(path), leader_elect=False, leader_elect_retry_period="1s"
    ).configuration.leader_election
    assert (election.leader_elect, election.resource_name, election.retry_period_s) == (False, "mine", 1.0)


def test_it_can_be_one_of_several_programs_of_a_process(tmp_path: Path) -> None:
    collector = Collector()
    with command.make_context("scheduler", ["--kubeconfig=x", "--leader-elect=false"], obj=collector) as scope:
        command.invoke(scope)
    assert [program.name for program in collector.programs] == ["scheduler"]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--no-such-flag"], "No such option"),
        (["--config=/does/not/exist"], "--config: "),
        (["--tls-cert-file=x"], "belong together"),
        (["--pod-max-in-unschedulable-pods-duration=soon"], "not a duration"),
        (["--leader-elect-resource-lock=endpoints"], "resourceLock value must be"),
    ],
)
def test_bad_flags_are_errors(words: list[str], problem: str) -> None:
    outcome = CliRunner().invoke(command, words)
    assert outcome.exit_code == 2
    assert problem in outcome.output
