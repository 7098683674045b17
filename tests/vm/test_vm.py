"""What the virtual machine is made of, as far as that can be told without one."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.vm.__main__ import SELECTION, pytest_command
from tests.vm.image import SERVICE, packages


def test_a_system_has_every_program_that_the_tests_need_wherever_it_is_built() -> None:
    assert {"containerd", "runc", "nftables", "containernetworking-plugins", "busybox-static", "docker-registry"} <= {
        *packages()
    }


@pytest.mark.parametrize(
    ("given", "expected"),
    [([], SELECTION), (["tests/a.py", "-k", "one or two"], ("tests/a.py", "-k", "one or two"))],
)
def test_pytests_arguments_reach_it_as_they_were_given(given: list[str], expected: tuple[str, ...]) -> None:
    words = shlex.split(pytest_command(given, patience=2.5))
    assert "STEERSMAN_PATIENCE=2.5" in words
    assert tuple(words[-len(expected) :]) == expected


def test_the_service_runs_what_is_in_the_tree() -> None:
    folder = Path(__file__).parent
    started = next(line for line in (folder / SERVICE).read_text().splitlines() if line.startswith("ExecStart="))
    assert started.endswith(" /steersman/tests/vm/guest.sh") and (folder / "guest.sh").exists()
