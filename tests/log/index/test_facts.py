"""What the index knows of an event beside its names: lane, steps, spans, use of models."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.events import drafted, new_id, stamped
from tests.log.index.logs import add, fits, index_of, new_index
from tests.tiers import examples

from thence.core.vocabulary import PLAIN, SIM, WORK
from thence.log.index.connection import Index
from thence.log.index.overview import longest_step


def line(seq: int, event_type: str, event_id: str | None = None, **members: Any) -> bytes:
    return stamped(drafted(event_id or new_id(), event_type, members), seq, seq)


def rows(index: Index, sql: str) -> list[Any]:
    return index.answer(lambda connection: connection.execute(sql).fetchall())


@pytest.mark.parametrize(
    ("vocabulary", "members", "lane"),
    [
        (PLAIN, {"stream": "s1", "actor": "claude"}, "s1/claude"),
        (PLAIN, {"stream": "s1", "actor": "claude", "payload": {"agent": "a7"}}, "s1/claude/a7"),
        (PLAIN, {"stream": "s1", "actor": "claude", "payload": {"agent": [1]}}, "s1/claude"),
        (PLAIN, {"actor": "ada", "payload": {"agent": "a7"}}, "ada"),
        (PLAIN, {"stream": "s1"}, "s1"),
        (PLAIN, {"subject": "order/1"}, "order"),
        (PLAIN, {}, "-"),
        (SIM, {"agent_id": "ada"}, "agent/ada"),
        (SIM, {"details": {"scope": "place/well", "variable_name": "water"}}, "place/well"),
        (SIM, {}, "-"),
        (WORK, {"feature_slug": "028-pay", "aggregate_id": "WP01"}, "028-pay/WP01"),
        (WORK, {"feature_slug": "028-pay", "aggregate_id": "028-pay"}, "028-pay"),
        (WORK, {"aggregate_id": "WP01"}, "-"),
    ],
)
def test_lane_is_the_row_in_which_a_picture_has_the_event(tmp_path, vocabulary, members, lane):
    own, foreign = new_id(), new_id()
    said = {"event_id": foreign, "event_type": "STATE", **members}
    add(tmp_path, [line(1, "STATE", own, **members), json.dumps(said).encode() + b"\n"])
    with index_of(tmp_path, vocabulary) as index:
        assert rows(index, "SELECT name FROM events JOIN lane_names ON number = lane") == [
            (lane,),
            (lane,),
        ]


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.booleans(), st.integers(1, 40), st.integers(0, 9)),
        max_size=30,
    ),
    st.integers(1, 7),
)
def test_longest_step_of_a_growing_log_is_that_of_all(steps, together):
    """Ends and begins come in any order, of an end more than one."""
    begins, kept = [new_id() for _ in range(6)], dict[str, int]()
    begun = set[int]()
    with new_index() as (folder, index):
        for at, (number, is_end, clock, second) in enumerate(steps, 1):
            facts = {"ends": begins[number]} if is_end else {"begins": True}
            event_id = new_id() if is_end or number in begun else begins[number]
            if not is_end:
                begun.add(number)
            made = drafted(event_id, "x", facts, timestamp=f"2026-11-20T07:13:0{second}.000000Z")
            add(folder, [stamped(made, at, clock)])
            if at % together == 0:
                assert longest_step(index, kept) == longest_step(index, {})
        assert longest_step(index, kept) == longest_step(index, {})
        if steps:
            assert kept["events"] == len(steps)


def test_of_two_ends_the_first_in_total_order_counts(tmp_path: Path) -> None:
    begin, other, late, early = (new_id() for _ in range(4))
    add(tmp_path, [line(9, "a.ended", late, ends=begin), line(1, "a.begun", begin, begins=True)])
    with index_of(tmp_path) as index:
        fits(index, tmp_path)
        add(tmp_path, [line(5, "a.ended", early, ends=begin), line(6, "b", other, begins=True)])
        fits(index, tmp_path)
        ends = rows(index, "SELECT event_id FROM steps JOIN events ON arrival = end ORDER BY begin")
        assert ends == [(early,)]
        assert len(rows(index, "SELECT 1 FROM steps WHERE end IS NULL")) == 1


@pytest.mark.parametrize("is_late", [False, True])
def test_span_of_another_process_is_the_cause_of_those_it_is_the_parent_of(tmp_path, is_late):
    parent, child = new_id(), new_id()
    lines = [
        line(1, "ask.begun", parent, begins=True, payload={"span_id": "00f0"}),
        line(2, "tool.begun", child, begins=True, payload={"parent_span_id": "00f0"}),
    ]
    with index_of(tmp_path) as index:
        for one in reversed(lines) if is_late else lines:
            add(tmp_path, [one])
            index.refresh()
        sql = (
            "SELECT parent.event_id, child.event_id FROM causes"
            " JOIN events parent ON parent.arrival = causes.parent"
            " JOIN events child ON child.arrival = causes.child"
        )
        assert rows(index, sql) == [(parent, child)]
        assert rows(index, "SELECT count(*) FROM waiting") == [(0,)]


@pytest.mark.parametrize(
    ("vocabulary", "content", "usage"),
    [
        (PLAIN, {"model": "m", "tokens_in": 3, "tokens_out": 4, "cost": 0.5}, ("m", 3, 4, 0.5)),
        (
            PLAIN,
            {
                "attributes": {
                    "gen_ai.request.model": "m",
                    "gen_ai.usage.input_tokens": 3,
                    "gen_ai.usage.output_tokens": 4,
                }
            },
            ("m", 3, 4, None),
        ),
        (
            PLAIN,
            {
                "attributes": {
                    "langfuse.observation.type": "generation",
                    "langfuse.observation.model.name": "m",
                    "langfuse.observation.usage_details": '{"input":3,"output":4,"total":7}',
                    "langfuse.observation.cost_details": '{"input":0.1,"total":0.5}',
                }
            },
            ("m", 3, 4, 0.5),
        ),
        (SIM, {"model": "m", "tokens_in": 3, "tokens_out": None}, ("m", 3, None, None)),
        (PLAIN, {"cost": 2}, (None, None, None, 2.0)),
        (PLAIN, {"model": 7, "tokens_in": -1, "tokens_out": True, "cost": "much"}, None),
        (PLAIN, {"attributes": ["gen_ai.request.model"]}, None),
    ],
)
def test_use_of_models_is_what_the_event_names(tmp_path, vocabulary, content, usage):
    add(tmp_path, [line(1, "SYSTEM", **{vocabulary.payload_key: content})])
    with index_of(tmp_path, vocabulary) as index:
        found = rows(index, "SELECT model, tokens_in, tokens_out, cost FROM usage")
        assert found == ([] if usage is None else [usage])


def test_line_that_takes_anothers_place_takes_all_that_it_had(tmp_path: Path) -> None:
    event_id, begin = new_id(), new_id()
    theirs = {"event_id": event_id, "event_type": "x.failed", "ends": begin, "caused_by": [begin]}
    theirs["payload"] = {"model": "m"}
    add(tmp_path, [line(1, "x.begun", begin, begins=True), json.dumps(theirs).encode() + b"\n"])
    with index_of(tmp_path) as index:
        fits(index, tmp_path)
        add(tmp_path, [line(2, "y", event_id, payload={"tokens_in": 1})])
        fits(index, tmp_path)
        assert rows(index, "SELECT model, tokens_in FROM usage") == [(None, 1)]
        assert rows(index, "SELECT end FROM steps") == [(None,)]
