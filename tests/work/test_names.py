"""Names of features, packages, branches and worktrees, and what users mean by them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thence.errors import PlanningError, Refused
from thence.work.names import (
    branch_of,
    is_slug,
    is_wp_id,
    kebab,
    new_slug,
    next_wp_id,
    number_of,
    package_of,
    resolve,
    worktree_of,
    wp_id_of,
)

KNOWN = ("001-board", "028-event-log", "029-event-page", "112-028")


@pytest.mark.parametrize(
    ("title", "name"),
    [
        ("The event log", "the-event-log"),
        ("  CLI: `work next` -- (v2)! ", "cli-work-next-v2"),
        ("Don't lose Ada’s work", "dont-lose-adas-work"),
        ("Größe & Ärger in Łódź, smørrebrød", "grosse-arger-in-lodz-smorrebrod"),
        ("İstanbul ÉTÉ", "istanbul-ete"),
        ("ﬁle №5", "file-no5"),
        ("任务板", "feature"),
        ("任务 board", "board"),
        ("", "feature"),
        ("word " * 20, "word-word-word-word-word-word-word-word-word-word"),
        ("x" * 80, "x" * 50),
        ("short " + "x" * 80, "short"),
        ("../../etc/passwd", "etc-passwd"),
    ],
)
def test_title_becomes_words_in_kebab_case(title, name):
    assert kebab(title) == name


@given(st.text(max_size=80), st.sets(st.integers(1, 998), max_size=5))
def test_new_slug_of_any_title_is_one_and_has_the_next_number(title, numbers):
    slug = new_slug(title, [f"{number:03}-x" for number in numbers])
    assert is_slug(slug)
    assert len(slug) <= 54
    assert number_of(slug) == max(numbers, default=0) + 1
    assert package_of(branch_of(slug, "WP01")) == (slug, "WP01")


def test_number_is_free_in_branches_and_folders_too():
    known = ["001-a", "007-b-WP01", "003-Old_Name", "spec", "12-short", ".worktrees"]
    assert new_slug("Sync", known) == "008-sync"


def test_number_behind_999_is_refused():
    with pytest.raises(PlanningError, match="number 999 is taken"):
        new_slug("Sync", ["999-last"])


@pytest.mark.parametrize(
    "text", ["028", "28-sync", "028-", "028-Sync", "028-a--b", "028-sync-", "028-a_b", "028-sync\n"]
)
def test_other_text_is_no_slug(text):
    assert is_slug("028-sync")
    assert is_slug("sync-of-logs-01KVTVZS")
    assert not is_slug(text)


@pytest.mark.parametrize(
    ("given_name", "slug"),
    [
        ("028-event-log", "028-event-log"),
        ("028-EVENT-log/", "028-event-log"),
        ("028", "028-event-log"),
        ("28", "028-event-log"),
        ("1", "001-board"),
        ("0000112", "112-028"),
        ("event-log", "028-event-log"),
        ("Event-P", "029-event-page"),
        ("029-e", "029-event-page"),
        (" bo ", "001-board"),
    ],
)
def test_feature_is_found_by_number_before_a_name_of_digits_and_by_name_and_beginning(
    given_name, slug
):
    assert resolve(given_name, KNOWN) == slug
    assert resolve("028", ["112-028"]) == "112-028"


def test_feature_that_another_tool_named_is_found():
    known = ["004-Old_Name"]
    assert [resolve(name, known) for name in ("4", "old_name", "004-OLD")] == known * 3


@pytest.mark.parametrize(
    ("given_name", "known", "cause"),
    [
        ("event", KNOWN, "it may be 028-event-log, 029-event-page"),
        ("28", ["028-b", "028-a"], "it may be 028-a, 028-b"),
        ("b", KNOWN, "the features are 001-board, 028-event-log, 029-event-page, 112-028"),
        ("sync", KNOWN, "the features are"),
        ("", KNOWN, "the features are"),
        ("9" * 5000, KNOWN, "the features are"),
        ("²", KNOWN, "the features are"),
        ("sync", [], "there are no features yet"),
    ],
)
def test_feature_that_is_none_or_many_is_refused_with_those_there_are(given_name, known, cause):
    with pytest.raises(Refused) as caught:
        resolve(given_name, known)
    assert caught.value.guard == "unknown_feature"
    assert caught.value.cause.startswith(cause)
    assert caught.value.hint


@given(st.lists(st.from_regex(r"[0-9]{3}(-[a-c]{1,2}){1,2}", fullmatch=True), unique=True))
def test_each_feature_is_found_by_its_slug_whatever_else_there_is(known):
    assert [resolve(slug, known) for slug in known] == known


@pytest.mark.parametrize("text", ["WP01", "wp01", "wp1", "01", "1", "WP-1", "wp_01", " WP 1 "])
def test_package_is_known_by_its_number_and_keeps_the_id_that_it_has(text):
    assert [wp_id_of(each) for each in (text, "WP001", "112")] == ["WP01", "WP001", "WP112"]


@pytest.mark.parametrize("text", ["", "WP", "WPX", "T001", "1.5", "-1x", "WP01x", "12345"])
def test_other_text_is_no_package(text):
    assert not is_wp_id(text)
    with pytest.raises(Refused, match="not a package's id") as caught:
        wp_id_of(text)
    assert caught.value.guard == "unknown_package"


def test_next_package_has_the_number_after_the_highest():
    assert next_wp_id([]) == "WP01"
    assert next_wp_id(["WP09", "WP02", "other"]) == "WP10"
    with pytest.raises(PlanningError, match="WP99"):
        next_wp_id(["WP99"])


@pytest.mark.parametrize(
    "slug", ["028-sync", "004-Old_Name", "030-add-wp01-WP02", "sync-of-logs-01KVTVZS"]
)
def test_branch_and_worktree_lead_back_to_the_package(slug):
    branch, worktree = branch_of(slug, "WP03"), worktree_of(slug, "WP03")
    assert branch == f"{slug}-WP03"
    assert worktree == f".worktrees/{slug}-WP03"
    for name in (branch, worktree, f"/a place/{worktree}/"):
        assert package_of(name) == (slug, "WP03")
    assert re.fullmatch(r"[0-9A-Za-z_.-]+", branch)


@pytest.mark.parametrize("name", ["main", "028-sync", "WP01", "sync-WP01", "028-sync-WP1", "", "/"])
def test_other_name_is_no_packages(name):
    assert package_of(name) is None
