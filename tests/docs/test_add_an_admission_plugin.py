"""``docs/howto/add-an-admission-plugin.md`` is true: its code is put where the page says, and the page's test passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import Page, check_form, run_tests

PAGE = Page("add-an-admission-plugin.md")
CONFTEST = """
import importlib.util
import sys
from pathlib import Path

from steersman.apiserver import admission
from steersman.apiserver.admission import catalogue
from steersman.apiserver.admission.catalogue import ORDER

HERE = Path(__file__).parent
NAME = "steersman.apiserver.admission.fixedimages"
spec = importlib.util.spec_from_file_location(NAME, HERE / "fixedimages.py")
sys.modules[NAME] = admission.fixedimages = importlib.util.module_from_spec(spec)
spec.loader.exec_module(admission.fixedimages)
FixedImages = admission.fixedimages.FixedImages
catalogue.ROWS = {**catalogue.ROWS, **eval((HERE / "row.py").read_text())}
catalogue.ORDER = eval((HERE / "order.py").read_text())
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    PAGE.write(tmp_path, conftest=CONFTEST)
    return tmp_path


def test_the_page_has_the_file_the_row_the_place_and_the_test() -> None:
    assert list(PAGE.files()) == ["fixedimages.py", "row.py", "order.py", "test_fixedimages.py"]


def test_whoever_follows_the_page_has_a_plugin_that_works(folder: Path) -> None:
    run_tests(folder)


def test_the_code_of_the_page_is_formatted_and_clean(folder: Path) -> None:
    check_form(folder, "fixedimages.py", "test_fixedimages.py")
