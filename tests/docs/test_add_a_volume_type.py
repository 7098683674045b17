"""``docs/howto/add-a-volume-type.md`` is true: its code is taken from the page, put where the page says, and the page's test passes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from steersman.kubelet import references, volume_stats
from steersman.kubelet.volumes import claim

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "howto" / "add-a-volume-type.md"
BLOCK = re.compile(r"^```python file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONFTEST = """
import importlib.util
import sys
from pathlib import Path

import tests.kubelet.volumes.conftest
from steersman.kubelet.volumes.registry import registry
from tests.kubelet.volumes.conftest import harness

HERE = Path(__file__).parent
NAME = "steersman.kubelet.volumes.git_repo"
spec = importlib.util.spec_from_file_location(NAME, HERE / "git_repo.py")
sys.modules[NAME] = git_repo = importlib.util.module_from_spec(spec)
spec.loader.exec_module(git_repo)
row = eval((HERE / "row.py").read_text(), {"GitRepo": git_repo.GitRepo})
tests.kubelet.volumes.conftest.registry = lambda clock: (*registry(clock), row)
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
    done = subprocess.run(
        [*command],
        check=False,
        cwd=folder,
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'src'}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_has_the_file_the_row_and_the_test() -> None:
    assert list(blocks()) == ["git_repo.py", "row.py", "test_git_repo.py"]


@pytest.mark.skipif(shutil.which("git") is None, reason="not installed: git")
def test_whoever_follows_the_page_has_a_volume_type_that_works(folder: Path) -> None:
    settings = ("-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder), "-p", "no:cacheprovider")
    run(sys.executable, "-m", "pytest", "-q", *settings, str(folder), folder=folder)


def test_the_code_of_the_page_is_formatted_and_clean(folder: Path) -> None:
    ruff = shutil.which("ruff") or str(Path(sys.executable).with_name("ruff"))
    config = f"--config={ROOT / 'pyproject.toml'}"
    for name in ("git_repo.py", "test_git_repo.py"):
        run(ruff, "check", "--no-cache", "--ignore=I001", config, name, folder=folder)  # it cannot know what is ours
        run(ruff, "format", "--check", "--no-cache", config, name, folder=folder)


def test_what_else_the_page_names_is_there() -> None:
    text = PAGE.read_text()
    for name, module in (("references_of", references), ("COUNTED", volume_stats), ("_path", claim)):
        assert f"`{name}`" in text
        assert hasattr(module, name)
