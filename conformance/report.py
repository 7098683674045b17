"""What a run of the suite found: ginkgo's JSON report as a table of results by source directory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_PASSED = "passed"
_NOT_RUN = ("skipped", "pending")
MESSAGE_CHARACTERS = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One test that ran."""

    name: str
    source: str
    """File below the Kubernetes repository, e.g. ``test/e2e/apps/job.go``."""
    state: str
    """ginkgo's: passed, failed, timedout, panicked, interrupted …"""
    seconds: float
    message: str = ""

    @property
    def has_passed(self) -> bool:
        return self.state == _PASSED

    @property
    def area(self) -> str:
        return str(Path(self.source).parent)


def read(path: Path) -> list[Outcome]:
    """The tests of a report that were run. Raises ``ValueError`` where the file is not such a report."""
    suites = json.loads(path.read_text())
    if not isinstance(suites, list):
        raise ValueError(f"{path} is not a ginkgo JSON report")
    specs = (spec for suite in suites for spec in suite.get("SpecReports") or ())
    return [_outcome(spec) for spec in specs if spec.get("LeafNodeType") == "It" and spec["State"] not in _NOT_RUN]


def _outcome(spec: Mapping[str, Any]) -> Outcome:
    file = spec["LeafNodeLocation"]["FileName"]
    _, mark, below = file.partition("/test/e2e/")
    words = [*(spec.get("ContainerHierarchyTexts") or ()), spec["LeafNodeText"]]
    message = (spec.get("Failure") or {}).get("Message", "")
    return Outcome(
        name=" ".join(words),
        source=f"test/e2e/{below}" if mark else file,
        state=spec["State"],
        seconds=spec["RunTime"] / 1e9,
        message=" ".join(message.split())[:MESSAGE_CHARACTERS],
    )


def latest(runs: Iterable[Sequence[Outcome]]) -> list[Outcome]:
    """One outcome a test: of several runs, the last one's."""
    found = {outcome.name: outcome for run in runs for outcome in run}
    return sorted(found.values(), key=lambda outcome: (outcome.source, outcome.name))


def table(outcomes: Sequence[Outcome]) -> str:
    """Passed of run by directory, and then each test that did not pass with what it said."""
    areas = sorted({outcome.area for outcome in outcomes})
    lines = []
    for area in areas:
        here = [outcome for outcome in outcomes if outcome.area == area]
        lines.append(f"{sum(outcome.has_passed for outcome in here):>5} of {len(here):<5}{area}")
    lines.append(f"{sum(outcome.has_passed for outcome in outcomes):>5} of {len(outcomes):<5}altogether")
    for outcome in outcomes:
        if not outcome.has_passed:
            lines += ["", f"{outcome.state}: {outcome.name}", f"    {outcome.source}: {outcome.message}"]
    return "\n".join(lines)
