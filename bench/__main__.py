"""``make bench`` (or ``make bench-GROUP``): run the measurements, print one table, write ``bench/results.json``.

A group is a module of this package with ``run() -> dict[str, float]`` whose keys read ``group/case/metric``. Budgets are those of
docs/architecture.md; a missed one is marked, never hidden. Figures of a shared machine vary: compare ratios of one run.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
import time
from pathlib import Path

import bench
from bench.budgets import BUDGETS

RESULTS = Path(__file__).parent / "results.json"


def groups() -> list[str]:
    """Every group there is."""
    found = [
        module.name for module in pkgutil.iter_modules(bench.__path__) if module.name not in ("__main__", "budgets")
    ]
    return [name for name in found if hasattr(importlib.import_module(f"bench.{name}"), "run")]


def main(wanted: list[str]) -> int:
    known = groups()
    unknown = [name for name in wanted if name not in known]
    if unknown:
        print(f"no such group: {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    results: dict[str, float] = json.loads(RESULTS.read_text()) if RESULTS.exists() and wanted else {}
    for name in wanted or known:
        began_s = time.perf_counter()
        print(f"bench: {name} …", file=sys.stderr, flush=True)
        measured = importlib.import_module(f"bench.{name}").run()
        subject = name.partition("_")[0]
        figures = {key if key.startswith(subject) else f"{name}/{key}": value for key, value in measured.items()}
        results.update(figures)
        show(figures)
        print(f"bench: {name} took {time.perf_counter() - began_s:.0f} s", file=sys.stderr)
    RESULTS.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")
    missed = [name for name, value in results.items() if name in BUDGETS and not BUDGETS[name].is_met(value)]
    if missed:
        print("\nbudgets missed: " + ", ".join(missed))
    return 0


def show(figures: dict[str, float]) -> None:
    for name, value in figures.items():
        budget = BUDGETS.get(name)
        verdict = "" if budget is None else f"{'met' if budget.is_met(value) else 'MISSED':>8}  ({budget})"
        print(f"{name:<66}{value:>14,.3f} {verdict}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
