"""What is refused of one package is kept to it, told once, and tried again."""

import time

import pytest

from thence.errors import GitFailed, LogFull, PlanningError, Refused
from thence.work.orchestrate.orchestrator import REFUSED_MAX, REST_MAX_S, TIMES_MAX, Backoff


class Told(Backoff):
    """Blocks of a board that events change, with what was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.said = 0
        super().__init__(lambda wp_id, why: self.told.append((wp_id, why)), lambda: self.said)

    def refuse(
        self, wp_id: str, why: str, kind=Refused, *, says: int = 0, times: int = REFUSED_MAX + 1
    ) -> None:
        for _ in range(times):
            with self.isolating(wp_id):
                self.said += says
                raise kind("could not move", cause=why, hint="mend it")

    def change(self, **lanes: str) -> None:
        self.said += 1
        self.look_again({"WP01": "for_review", "WP02": "doing", **lanes}, self.said)


@pytest.fixture
def blocks() -> Told:
    made = Told()
    made.change()
    return made


def test_reason_is_told_once_however_often_the_board_changes(blocks):
    for _ in range(5):
        blocks.refuse("WP01", "a gate is open")
        blocks.change()
        assert blocks.waiting(time.monotonic()) == set()
    assert blocks.told == [("WP01", "a gate is open; mend it")]
    blocks.refuse("WP02", "a gate is open")
    blocks.refuse("WP01", "a file is in the way")
    blocks.refuse("WP01", "a file is in the way")
    assert blocks.told[1:] == [
        ("WP02", "a gate is open; mend it"),
        ("WP01", "a file is in the way; mend it"),
    ]


def test_reason_is_told_again_when_the_package_has_gone_on(blocks):
    blocks.refuse("WP01", "a gate is open")
    blocks.change()
    blocks.change(WP01="doing")
    blocks.change(WP01="for_review")
    blocks.refuse("WP01", "a gate is open")
    assert blocks.told == [("WP01", "a gate is open; mend it")] * 2


def test_what_a_refused_step_has_appended_has_it_not_tried_again(blocks):
    blocks.refuse("WP01", "the folder is taken", says=3)
    blocks.look_again({"WP01": "doing"}, blocks.said)
    assert blocks.waiting(time.monotonic()) == {"WP01"}
    blocks.change(WP01="doing")
    assert blocks.waiting(time.monotonic()) == set()
    blocks.refuse("WP01", "the folder is taken", says=1)
    assert len(blocks.told) == 1, "the step itself has moved it"


def test_what_waits_for_the_board_goes_on_with_it_and_other_things_by_time(blocks):
    now_s = time.monotonic()
    blocks.refuse("WP01", "a gate is open")
    blocks.refuse("WP02", "a lock is held", GitFailed, times=1)
    assert blocks.waiting(now_s) == {"WP01", "WP02"}
    assert blocks.waiting(now_s + 2 * REST_MAX_S) == {"WP01"}
    (end_s,) = blocks.ends_s()
    assert now_s < end_s < now_s + 2 * REST_MAX_S
    blocks.change()
    assert blocks.waiting(now_s) == {"WP02"}
    assert (blocks.why("WP01"), blocks.why("WP02")) == (None, "a lock is held; mend it")


@pytest.mark.parametrize(
    ("kind", "times"), [(PlanningError, TIMES_MAX), (GitFailed, TIMES_MAX), (Refused, REFUSED_MAX)]
)
def test_it_is_tried_so_many_times_until_it_waits_for_the_board(blocks, kind, times):
    blocks.refuse("WP01", "it failed", kind, times=times)
    assert len(blocks.ends_s()) == 1
    blocks.refuse("WP01", "it failed", kind, times=1)
    assert blocks.ends_s() == []
    assert blocks.waiting(time.monotonic() + 2 * REST_MAX_S) == {"WP01"}
    blocks.change()
    assert blocks.waiting(time.monotonic()) == set()


def test_trouble_that_is_no_matter_of_one_package_goes_out(blocks):
    with pytest.raises(LogFull), blocks.isolating("WP01"):
        raise LogFull("could not write")
    assert blocks.told == []
    assert blocks.waiting(time.monotonic()) == set()
