"""The log of one test, beside whatever else its folder holds."""

import pytest

import thence


@pytest.fixture
def log(tmp_path):
    with thence.open(tmp_path / "log") as opened:
        yield opened
