"""kubectl as a client under test: every one that is on this machine, each with a home of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

ROOT = Path(__file__).parents[2]
DEBIAN_KUBECTL = ROOT / ".make/kubectl-1.20/usr/bin/kubectl"
"""``tools/debian-kubectl .make/kubectl-1.20`` puts it there."""


def kubectls() -> list[str]:
    """The kubectl of this machine and Debian's, as far as they are there."""
    return [path for path in (shutil.which("kubectl"), str(DEBIAN_KUBECTL)) if path and Path(path).exists()]


class Outcome(Struct, frozen=True, kw_only=True):
    code: int
    out: str
    err: str


class Kubectl(Struct, frozen=True, kw_only=True):
    """One kubectl with a kubeconfig and a namespace. Call it with its words; what it prints comes back."""

    binary: str
    minor: int
    """Of its version: what it can do depends on it."""
    home: Path
    kubeconfig: Path
    namespace: str = "default"
    environment: Mapping[str, str] = field(default_factory=dict)
    """Beyond what every one has."""

    def __call__(self, *words: str, stdin: str | dict[str, Any] = "", timeout_s: float = 60) -> str:
        """Raises ``AssertionError`` where it fails."""
        done = self.run(*words, stdin=stdin, timeout_s=timeout_s)
        assert done.code == 0, f"kubectl {' '.join(words)}: exit code {done.code}\n{done.out}\n{done.err}"
        return done.out

    def run(self, *words: str, stdin: str | dict[str, Any] = "", timeout_s: float = 60) -> Outcome:
        text = stdin if isinstance(stdin, str) else json.dumps(stdin)
        done = subprocess.run(
            self.argv(*words), input=text, capture_output=True, text=True, timeout=timeout_s, check=False, env=self.env
        )
        return Outcome(code=done.returncode, out=done.stdout, err=done.stderr)

    def fails(self, *words: str, stdin: str | dict[str, Any] = "") -> str:
        """What it says on its way out with an error."""
        done = self.run(*words, stdin=stdin)
        assert done.code != 0, done.out
        return done.err.strip()

    def get(self, *words: str) -> Any:
        return json.loads(self("get", *words, "-o", "json"))

    def spawn(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.argv(*words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.env
        )

    def argv(self, *words: str) -> list[str]:
        return [self.binary, f"--kubeconfig={self.kubeconfig}", f"--namespace={self.namespace}", *words]

    @property
    def env(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "KUBECTL_EXTERNAL_DIFF": "diff -u -N",
            **self.environment,
        }

    def within(self, namespace: str) -> Kubectl:
        return replace(self, namespace=namespace)


def minor_version(binary: str) -> int:
    done = subprocess.run([binary, "version", "--client", "-o", "json"], capture_output=True, check=True)
    return int(json.loads(done.stdout)["clientVersion"]["minor"].rstrip("+"))


def eventually(predicate: Callable[[], Any], timeout_s: float = 30.0) -> Any:
    """The first true value of ``predicate()``. Raises ``AssertionError`` where there is none in time."""
    deadline_s = time.monotonic() + timeout_s
    while not (value := predicate()):
        assert time.monotonic() < deadline_s, f"not so within {timeout_s:g} s"
        time.sleep(0.05)
    return value
