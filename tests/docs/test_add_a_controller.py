"""``docs/howto/add-a-controller.md`` is true: its code is taken from the page, put where the page says, and the page's test passes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto" / "add-a-controller.md"
BLOCK = re.compile(r"^```python file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONFTEST = """
import importlib.util
import sys
from pathlib import Path

import tests.controllers.world
from steersman.controllers import kinds
from steersman.controllers.runtime import Registration
from tests.controllers.conftest import world_of

HERE = Path(__file__).parent
NAME = "steersman.controllers.kinds.namespacequota"
spec = importlib.util.spec_from_file_location(NAME, HERE / "namespacequota.py")
namespacequota = importlib.util.module_from_spec(spec)
sys.modules[NAME] = kinds.namespacequota = namespacequota
spec.loader.exec_module(namespacequota)
row = eval((HERE / "row.py").read_text())
tests.controllers.world.REGISTRY = (*kinds.REGISTRY, row)
"""


def blocks() -> dict[str, str]:
    return dict(BLOCK.findall(PAGE.read_text()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in blocks().items():
        (tmp_path / name).write_text(text)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    return tmp_path


def run(*command: str, folder: Path) -> None:
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


def test_the_page_has_the_file_the_row_and_the_test() -> None:
    assert list(blocks()) == ["namespacequota.py", "row.py", "test_namespacequota.py"]


def test_whoever_follows_the_page_has_a_controller_that_works(folder: Path) -> None:
    settings = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder), "-p", "no:cacheprovider")
    run(sys.executable, "-m", "pytest", "-q", *settings, str(folder), folder=folder)


def test_the_code_of_the_page_is_formatted_and_clean(folder: Path) -> None:
    ruff = shutil.which("ruff") or str(Path(sys.executable).with_name("ruff"))
    config = f"--config={ROOT / 'pyproject.toml'}"
    for name in ("namespacequota.py", "test_namespacequota.py"):
        run(ruff, "check", "--no-cache", "--ignore=I001", config, name, folder=folder)  # it cannot know what is ours
        run(ruff, "format", "--check", "--no-cache", config, name, folder=folder)
