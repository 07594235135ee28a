"""The nearest of known names."""

import subprocess
import sys

from thence.core.nearest import did_you_mean, nearest

NAMES = ["subject", "stream", "where", "Event", "NewEvent"]


def test_names_most_alike_are_found_the_most_alike_first():
    assert nearest("subjet", NAMES) == ["subject"]
    assert nearest("event", NAMES, 2) == ["Event", "NewEvent"]
    assert nearest("xyzzy", NAMES) == []
    assert nearest("anything", []) == []


def test_case_does_not_matter():
    assert nearest("WHERE", NAMES) == ["where"]
    assert nearest("newevent", NAMES) == ["NewEvent"]
    assert nearest("logbusy", ["LOGBUSY"]) == ["LOGBUSY"]


def test_likeness_says_how_far_off_a_name_may_be():
    assert len(nearest("xyzzy", NAMES, likeness=0)) == 1
    assert nearest("subjet", NAMES, likeness=0.99) == []


def test_only_a_likely_typo_is_suggested():
    assert did_you_mean("foo", ["log", "follow"]) == ""
    assert did_you_mean("verison", ["version"]) == "; did you mean version?"
    assert did_you_mean("Lgo", ["Page", "Log"]) == "; did you mean Log?"


def test_long_name_costs_no_more_than_its_beginning():
    assert nearest("s" * 1_000_000, ["s" * 100]) == ["s" * 100]


def test_sentence_ends_with_the_name_that_may_be_meant():
    assert did_you_mean("wher", NAMES) == "; did you mean where?"
    assert did_you_mean("xyzzy", NAMES) == ""


def test_difflib_is_not_imported_before_something_went_wrong():
    program = "import sys, thence.core.nearest; print('difflib' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout == "False\n"
