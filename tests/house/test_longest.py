"""The files that begin first are there."""

from pathlib import Path

from tests.conftest import LONGEST

TESTS = Path(__file__).resolve().parents[1]


def test_files_that_begin_first_are_there():
    assert [file for file in LONGEST if not (TESTS / file).is_file()] == []
    assert len(set(LONGEST)) == len(LONGEST)
