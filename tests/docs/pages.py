"""Following a page of ``docs/howto``: its blocks of code are taken from it and run as they stand there.

A block that is a file begins with ```` ```python file=<name> ````.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from msgspec import Struct

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```python file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Page(Struct, frozen=True):
    """One page by the name of its file."""

    name: str

    def files(self) -> dict[str, str]:
        return dict(_BLOCK.findall((ROOT / "docs" / "howto" / self.name).read_text()))

    def write(self, folder: Path, *, conftest: str) -> None:
        """Put the page's files into ``folder``, with a ``conftest`` that puts them into the program."""
        for name, text in self.files().items():
            (folder / name).write_text(text)
        (folder / "conftest.py").write_text(conftest)


def run_tests(folder: Path) -> None:
    """The tests in ``folder`` pass."""
    settings = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder), "-p", "no:cacheprovider")
    _run(sys.executable, "-m", "pytest", "-q", *settings, str(folder), folder=folder)


def check_form(folder: Path, *names: str) -> None:
    """These files are formatted and clean."""
    ruff = shutil.which("ruff") or str(Path(sys.executable).with_name("ruff"))
    config = f"--config={ROOT / 'pyproject.toml'}"
    for name in names:
        _run(ruff, "check", "--no-cache", "--ignore=I001", config, name, folder=folder)  # it cannot know what is ours
        _run(ruff, "format", "--check", "--no-cache", config, name, folder=folder)


def _run(*command: str, folder: Path) -> None:
    path = f"{ROOT}:{ROOT / 'src'}"
    done = subprocess.run(
        [*command],
        check=False,
        cwd=folder,
        env={"PYTHONPATH": path, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
