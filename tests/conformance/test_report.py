"""The reader of the suite's reports, and the command that it is started with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conformance import report
from conformance.__main__ import PARALLEL, arguments, command


def spec(text: str, state: str, *, file: str = "/src/test/e2e/apps/job.go", message: str = "") -> dict[str, object]:
    return {
        "LeafNodeType": "It",
        "ContainerHierarchyTexts": ["[sig-apps] Job"],
        "LeafNodeText": text,
        "LeafNodeLocation": {"FileName": file},
        "State": state,
        "RunTime": 2_500_000_000,
        **({"Failure": {"Message": message}} if message else {}),
    }


def written(path: Path, *specs: dict[str, object]) -> Path:
    path.write_text(json.dumps([{"SpecReports": list(specs)}]))
    return path


def test_what_was_not_run_is_not_counted(tmp_path: Path) -> None:
    setup: dict[str, object] = {"LeafNodeType": "SynchronizedBeforeSuite", "State": "passed"}
    outcomes = report.read(
        written(tmp_path / "r", setup, spec("a", "passed"), spec("b", "skipped"), spec("c", "pending"))
    )
    assert [(outcome.name, outcome.seconds) for outcome in outcomes] == [("[sig-apps] Job a", 2.5)]


def test_a_file_that_is_no_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "r").write_text("{}")
    with pytest.raises(ValueError, match="not a ginkgo JSON report"):
        report.read(tmp_path / "r")


def test_the_last_run_of_a_test_counts(tmp_path: Path) -> None:
    first = report.read(written(tmp_path / "1", spec("a", "failed", message="no"), spec("b", "passed")))
    again = report.read(written(tmp_path / "2", spec("a", "passed")))
    assert [outcome.has_passed for outcome in report.latest([first, again])] == [True, True]


def test_the_table_counts_by_directory_and_names_failures(tmp_path: Path) -> None:
    specs = (spec("a", "passed"), spec("b", "timedout", message="waited\n  too long"))
    other = spec("c", "passed", file="/src/test/e2e/node/pods.go")
    text = report.table(report.latest([report.read(written(tmp_path / "r", *specs, other))]))
    assert "    1 of 2    test/e2e/apps" in text
    assert "    1 of 1    test/e2e/node" in text
    assert "    2 of 3    altogether" in text
    assert "timedout: [sig-apps] Job b\n    test/e2e/apps/job.go: waited too long" in text


def test_the_command_line_selects_what_was_asked_for() -> None:
    options = arguments(["--e2e=/programs/e2e.test", "--kubeconfig=/k", "--only=apps", "--focus=Job", "--nodes=3"])
    line = command(options, PARALLEL, 4, Path("/results"))
    assert line[0] == "/programs/ginkgo"
    assert "--label-filter=Conformance && !Serial" in line
    assert "--focus-file=test/e2e/apps/" in line
    assert "--focus=Job" in line
    assert not any(word.startswith("--skip") for word in line)
    suite = line[line.index("--") + 1 :]
    assert "--kubectl-path=/programs/kubectl" in suite
    assert "--num-nodes=3" in suite
