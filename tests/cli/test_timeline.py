"""What lasted, as bars."""

import pytest
from tests.cli.warm import warm
from tests.events import foreign_log

import thence as package


def timeline(cwd, *arguments, log="orders"):
    return warm("timeline", "--log", log, *arguments, cwd=cwd)


@pytest.fixture
def shipped(tmp_path):
    """A step with one inside that failed, of order/881, and one of order/882 that is open."""
    with package.open(tmp_path / "orders") as log:
        with (
            package.step("ship", log=log, subject="order/881", actor="ada"),
            pytest.raises(ValueError, match="no card"),
            package.step("pay <now>", log=log),
        ):
            raise ValueError("no card")
        with package.step("watch", log=log, subject="order/882"):
            log.append("note")
            yield tmp_path


@pytest.mark.promise("A1e")
def test_each_that_lasted_is_told_with_its_outcome_its_length_and_what_it_was_part_of(shipped):
    told = timeline(shipped, "--json").json
    assert told["total"] == 3
    spans = {span["name"]: span for span in told["spans"]}
    assert {name: (span["outcome"], span["depth"]) for name, span in spans.items()} == {
        "ship order/881": ("ended", 0),
        "pay <now> order/881": ("failed", 1),
        "watch order/882": ("open", 0),
    }
    ship, pay, watch = spans.values()
    assert ship["begin"] <= pay["begin"] <= pay["end"] <= ship["end"] <= watch["begin"]
    assert (watch["end"], watch["duration_s"]) == (None, None)
    assert 0 <= pay["duration_s"] <= ship["duration_s"]


def test_filter_is_that_of_the_begin(shipped):
    for arguments, names in (
        (["--subject", "order/882"], ["watch order/882"]),
        (["--type", "pay*"], ["pay <now> order/881"]),
        (["--last", "1"], ["watch order/882"]),
        (["--failed"], ["pay <now> order/881"]),
    ):
        told = timeline(shipped, *arguments, "--json").json
        assert [span["name"] for span in told["spans"]] == names
    assert "the last 1 of 3" in timeline(shipped, "-n", "1").err
    timeline(shipped, "--subject", "order/99").failure(4)
    assert "nothing lasted" in timeline(shipped, "--type", "note").err


def written(folder, rows):
    """Write events of another tool: id, type, second, and the members of begin and end."""
    foreign_log(
        folder,
        *(
            {"event_id": event_id, "event_type": kind, "timestamp": f"2026-11-20T08:00:{s:02d}Z"}
            | members
            for event_id, kind, s, members in rows
        ),
    )


BEGIN = {"begins": True}


def test_bars_stand_where_they_lay_in_time(tmp_path):
    rows = [
        ("a", "a.begun", 0, BEGIN),
        ("b", "b.begun", 20, BEGIN | {"caused_by": ["a"]}),
        ("d", "b.ended", 30, {"ends": "b"}),
        ("e", "a.ended", 40, {"ends": "a"}),
        ("f", "c.begun", 30, BEGIN),
    ]
    written(tmp_path / "orders", rows)
    lines = timeline(tmp_path).lines
    width = 80 - len("  b") - len("open 10 s") - 4
    assert lines[0] == "2026-11-20"
    assert lines[1] == " " * (80 - width) + "08:00:00.000" + " " * (width - 24) + "08:00:40.000"
    bars = {line[:3]: (line[16:].find("━"), line.count("━")) for line in lines[2:]}
    assert bars["a  "] == (0, width)
    assert bars["  b"] == (width // 2, width * 3 // 4 - width // 2)
    assert bars["c  "] == (width * 3 // 4, width - width * 3 // 4 - 1)
    assert lines[4].endswith("▶")


def test_what_was_part_of_another_is_below_it_and_names_it(tmp_path):
    """Two agents at once, each with a tool of its own."""
    rows = [
        ("a", "ada.begun", 0, BEGIN),
        ("b", "ben.begun", 1, BEGIN),
        ("c", "tool.begun", 2, BEGIN | {"caused_by": ["a"], "subject": "of/ada"}),
        ("d", "tool.begun", 3, BEGIN | {"caused_by": ["b"], "subject": "of/ben"}),
        ("e", "ada.ended", 5, {"ends": "a"}),
        ("f", "late.begun", 6, BEGIN | {"caused_by": ["a"]}),
    ]
    written(tmp_path / "orders", rows)
    spans = timeline(tmp_path, "--json").json["spans"]
    assert [(span["event_id"], span["parent"], span["depth"]) for span in spans] == [
        ("a", None, 0),
        ("c", "a", 1),
        ("b", None, 0),
        ("d", "b", 1),
        ("f", None, 0),
    ]
    names = [line[:13].rstrip() for line in timeline(tmp_path).lines[2:]]
    assert names == ["ada", "  tool of/ada", "ben", "  tool of/ben", "late"]


def test_part_that_seems_to_begin_before_the_whole_is_still_part_of_the_whole(tmp_path):
    """The end has its time some microseconds after the length was measured."""
    rows = [
        ("a", "a.begun", 0, BEGIN),
        ("b", "b.begun", 1, BEGIN | {"caused_by": ["a"]}),
        ("c", "b.ended", 3, {"ends": "b"}),
        ("d", "a.ended", 4, {"ends": "a", "payload": {"duration_s": 2.5}}),
    ]
    written(tmp_path / "orders", rows)
    a, b = timeline(tmp_path, "--json").json["spans"]
    assert (a["depth"], b["depth"], b["parent"]) == (0, 1, "a")
    assert a["begin"] == b["begin"] == "2026-11-20T08:00:01.500000Z"


def test_end_that_arrives_before_its_begin_ends_it(tmp_path):
    rows = [("b", "a.ended", 5, {"ends": "a"}), ("a", "a.begun", 2, BEGIN)]
    written(tmp_path / "orders", rows)
    (span,) = timeline(tmp_path, "--json").json["spans"]
    assert (span["outcome"], span["duration_s"]) == ("ended", 3.0)


@pytest.mark.promise("A1e")
def test_length_is_that_of_the_body_as_the_end_says_it(tmp_path):
    """The begin is on the device before the body runs, which may take longer than the body."""
    rows = [
        ("a", "a.begun", 0, BEGIN),
        ("d", "a.ended", 40, {"ends": "a", "payload": {"duration_s": 10.5}}),
        ("b", "b.begun", 41, BEGIN),
        ("e", "b.ended", 42, {"ends": "b", "payload": {"duration_ms": 2500}}),
        ("c", "c.begun", 43, BEGIN),
        ("f", "c.ended", 45, {"ends": "c", "payload": {"duration_s": "2"}}),
    ]
    written(tmp_path / "orders", rows)
    a, b, c = timeline(tmp_path, "--json").json["spans"]
    assert (a["begin"][17:21], a["end"][17:19], a["duration_s"]) == ("29.5", "40", 10.5)
    # the clocks of two machines may differ: the length is told all the same
    assert (b["begin"][17:19], b["end"][17:19], b["duration_s"]) == ("41", "42", 2.5)
    assert (c["begin"][17:19], c["duration_s"]) == ("43", 2.0)
    assert [line[3:11].strip() for line in timeline(tmp_path).lines[2:]] == [
        "10.5 s",
        "2.5 s",
        "2 s",
    ]


def test_step_has_one_duration_everywhere(tmp_path):
    with package.open(tmp_path / "orders") as log:
        with package.step("pay", log=log):
            pass
        *_, end = log.read()
    (span,) = timeline(tmp_path, "--json").json["spans"]
    assert span["duration_s"] == end.payload["duration_s"]


def test_log_of_nothing_that_lasted_says_so(tmp_path, orders):
    ended = timeline(tmp_path)
    assert (ended.code, ended.out, ended.err) == (0, "", "nothing lasted\n")
    told = timeline(tmp_path, "--json").json
    assert (told["total"], told["spans"]) == (0, [])
