"""Where tests are: in the rooms of what they test, in files that one can read, with what they share in one folder."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from paths import HELPERS, ROOT

TESTS = ROOT / "test"
ROOMS = {"model": ROOT / "a2vis_model", "ros": ROOT / "a2vis_ros"}
LONGEST = 400


def every_test() -> Iterator[Path]:
    return TESTS.rglob("test_*.py")


@pytest.mark.parametrize("half", ROOMS)
def test_every_room_has_a_folder_of_its_name(half: str) -> None:
    rooms = {package.parent.name for package in ROOMS[half].glob("*/__init__.py")}
    assert {path.parent.name for path in every_test() if path.parent.parent == TESTS / half} == rooms


def test_tests_are_nowhere_else() -> None:
    folders = {path.relative_to(TESTS).parts[0] for path in every_test()}
    assert folders == {*ROOMS, "project", "science"}


def test_what_tests_share_is_in_one_folder() -> None:
    elsewhere = [path for path in TESTS.rglob("*.py") if path.parent != HELPERS and path.stem != "conftest"]
    assert [str(path) for path in elsewhere if not path.stem.startswith("test_")] == []
    imported = {
        node.module
        for path in TESTS.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
    }
    # A test that imports another is run with what that one needs.
    assert imported & {path.stem for path in elsewhere} == set()


def test_no_file_is_long() -> None:
    lengths = {str(path): len(path.read_text("utf-8").splitlines()) for path in TESTS.rglob("*.py")}
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST} == {}


def test_names_are_said_once() -> None:
    """Files without packages are imported by their names alone."""
    names = [path.name for path in TESTS.rglob("*.py") if path.stem != "conftest"]
    assert sorted(names) == sorted(set(names))
