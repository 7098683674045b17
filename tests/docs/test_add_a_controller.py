"""``docs/howto/add-a-controller.md`` is true: its code is taken from the page, put where the page says, and the page's test passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import Page, check_form, run_tests

PAGE = Page("add-a-controller.md")
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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    PAGE.write(tmp_path, conftest=CONFTEST)
    return tmp_path


def test_the_page_has_the_file_the_row_and_the_test() -> None:
    assert list(PAGE.files()) == ["namespacequota.py", "row.py", "test_namespacequota.py"]


def test_whoever_follows_the_page_has_a_controller_that_works(folder: Path) -> None:
    run_tests(folder)


def test_the_code_of_the_page_is_formatted_and_clean(folder: Path) -> None:
    check_form(folder, "namespacequota.py", "test_namespacequota.py")
