"""``python -m conformance --e2e=PATH``: run upstream's conformance tests against a cluster and tell what passed.

Serial tests run one after another, after the others. Ends with 0 where every test passed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from conformance import report

PARALLEL = "Conformance && !Serial"
SERIAL = "Conformance && Serial"


def arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m conformance", description=__doc__.partition("\n")[0])
    parser.add_argument("--e2e", type=Path, required=True, help="upstream's e2e.test")
    parser.add_argument("--ginkgo", type=Path, help="upstream's ginkgo; default: beside e2e.test")
    parser.add_argument("--kubectl", type=Path, help="the kubectl under test; default: beside e2e.test")
    parser.add_argument("--kubeconfig", type=Path, default=Path("~/.kube/config").expanduser())
    parser.add_argument(
        "--only", action="append", default=[], metavar="DIR", help="below test/e2e, e.g. apps; repeatable"
    )
    parser.add_argument("--focus", default="", help="regular expression on names")
    parser.add_argument("--skip", default="", help="regular expression on names")
    parser.add_argument("--procs", type=int, default=4, help="tests at a time")
    parser.add_argument("--nodes", type=int, default=2, help="schedulable nodes of the cluster")
    parser.add_argument("--timeout", default="2h", help="of each of the two runs, as Go writes durations")
    parser.add_argument("--results", type=Path, default=Path("build/conformance"))
    return parser.parse_args(given)


def command(options: argparse.Namespace, label: str, procs: int, results: Path) -> list[str]:
    """The suite's command line for the tests with ``label``."""
    e2e: Path = options.e2e.resolve()
    ginkgo = options.ginkgo or e2e.with_name("ginkgo")
    kubectl = options.kubectl or e2e.with_name("kubectl")
    selection = [f"--label-filter={label}", *(f"--focus-file=test/e2e/{directory}/" for directory in options.only)]
    selection += [f"--{name}={value}" for name in ("focus", "skip") if (value := getattr(options, name))]
    running = [f"--procs={procs}", f"--timeout={options.timeout}", "--no-color", "--poll-progress-after=0s"]
    reports = [f"--output-dir={results}", "--json-report=report.json"]
    suite = [
        "--provider=skeleton",
        f"--kubeconfig={options.kubeconfig}",
        f"--kubectl-path={kubectl}",
        f"--num-nodes={options.nodes}",
        "--allowed-not-ready-nodes=0",
        "--disable-log-dump=true",
        "--dump-logs-on-failure=false",
    ]
    return [str(ginkgo), *selection, *running, *reports, str(e2e), "--", *suite]


def main(given: Sequence[str]) -> int:
    options = arguments(given)
    runs = []
    for name, label, procs in (("parallel", PARALLEL, options.procs), ("serial", SERIAL, 1)):
        results = options.results.resolve() / name
        results.mkdir(parents=True, exist_ok=True)
        found = results / "report.json"
        found.unlink(missing_ok=True)
        print(f"conformance: {label}, {procs} at a time; output in {results / 'log'}", file=sys.stderr, flush=True)
        with (results / "log").open("wb") as log:
            subprocess.run(command(options, label, procs, results), stdout=log, stderr=log, check=False)
        if not found.exists():
            print(f"conformance: the suite did not run; see {results / 'log'}", file=sys.stderr)
            return 2
        runs.append(report.read(found))
    outcomes = report.latest(runs)
    print(report.table(outcomes))
    return 0 if outcomes and all(outcome.has_passed for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
