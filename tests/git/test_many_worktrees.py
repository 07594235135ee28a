"""Thirty-two commands make worktrees in one repository at once: none fails, none is half made."""

import pytest
from tests.git.implementers import AT_ONCE, judged, one_round
from tests.git.repositories import make_repository

pytestmark = pytest.mark.xdist_group("heavy")


def test_thirty_two_at_once_all_get_theirs(tmp_path):
    top = make_repository(tmp_path, {f"folder/{n}": f"{n}\n" for n in range(50)})
    names = [f"028-sync-WP{n:02}" for n in range(AT_ONCE)]
    judged(top, set(names), one_round(top, names))


def test_those_who_want_the_same_one_agree_on_who_made_it(tmp_path):
    top = make_repository(tmp_path)
    names = [f"028-sync-WP0{n % 4}" for n in range(AT_ONCE)]
    found = one_round(top, sorted(names))
    judged(top, set(names), found)
    assert len(found) == AT_ONCE
