"""Causes go along with work to threads, pools, other processes and requests."""

import asyncio
import multiprocessing
import os
import pickle
import re
from concurrent import futures
from functools import partial

import pytest
from tests.events import by_type
from tests.log.faults import WAIT_S

import thence
from thence.core.clock import CLOCK_MAX
from thence.errors import InvalidEvent
from thence.log.causes import current_blocks, current_causes

OTHER = "0" * 26
PARENT = f"00-{'ab' * 16}-{'cd' * 8}-01"


def note(path, name="noted"):
    with thence.open(path) as log:
        return log.append(name).caused_by


POOLS = {
    "threads": lambda: futures.ThreadPoolExecutor(2),
    "forked": lambda: futures.ProcessPoolExecutor(2, multiprocessing.get_context("fork")),
    "spawned": lambda: futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn")),
}


@pytest.mark.promise("A3")
@pytest.mark.parametrize("pool", POOLS)
def test_work_of_a_pool_has_the_causes_of_its_own_submission(log, pool):
    with thence.propagate(POOLS[pool]()) as executor:
        with thence.step("first", log=log) as first:
            one = executor.submit(note, log.folder).result()
            mapped = list(executor.map(note, [log.folder] * 3, ["a", "b", "c"]))
        with thence.step("second", log=log) as second:
            two = executor.submit(note, log.folder).result()
        none = executor.submit(note, log.folder).result()
    assert (one, two, none) == ((first.event_id,), (second.event_id,), ())
    assert mapped == [(first.event_id,)] * 3
    assert log.verify().findings == ()


@pytest.mark.promise("A3")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_that_a_step_forked_names_it_in_nobody_elses_work(log, method):
    """The standard library's pools fork their workers where the first work is submitted."""
    context = multiprocessing.get_context(method)
    with futures.ProcessPoolExecutor(1, context) as pool, context.Pool(1) as other:
        with thence.step("first", log=log):
            pool.submit(note, log.folder).result()
            other.apply(note, (log.folder,))
        with thence.step("second", log=log) as second:
            assert pool.submit(note, log.folder).result() == ()
            assert other.apply(note, (log.folder,)) == ()
            assert other.apply(thence.propagate(note), (log.folder,)) == (second.event_id,)
            assert other.map(thence.propagate(note), [log.folder] * 2) == [(second.event_id,)] * 2


@pytest.mark.promise("A3")
def test_step_in_a_pool_has_the_subject_and_actor_of_the_step_around_it(log):
    def work():
        with thence.step("inner"):  # of the log of the step around
            log.append("noted")

    with (
        thence.propagate(futures.ThreadPoolExecutor(1)) as pool,
        thence.step("outer", log=log, subject="order/1", actor="till") as outer,
    ):
        pool.submit(work).result()
    inner = by_type(log)["inner.begun"]
    assert (inner.subject, inner.actor, inner.caused_by) == ("order/1", "till", (outer.event_id,))
    assert by_type(log)["inner.ended"].event_id in by_type(log)["outer.ended"].caused_by


@pytest.mark.promise("A3")
def test_work_handed_on_while_an_error_is_handled_has_the_end_of_its_step(log):
    with thence.propagate(futures.ThreadPoolExecutor(1)) as pool:
        try:
            with thence.step("pay", log=log):
                raise ValueError("no money")
        except ValueError:
            causes = pool.submit(lambda: log.append("told").caused_by).result()
        later = pool.submit(lambda: log.append("later").caused_by).result()
    assert causes == (by_type(log)["pay.failed"].event_id,)
    assert later == ()


def test_causes_leave_a_worker_when_its_work_is_done(log):
    with futures.ThreadPoolExecutor(1) as pool, thence.step("first", log=log):
        thence.propagate(pool).submit(log.append, "noted").result()
        inside = pool.submit(current_blocks).result()
    assert inside == ()


@pytest.mark.promise("A3")
def test_token_is_a_traceparent_and_one_entry_of_a_tracestate(log):
    assert thence.carry() == {}
    with thence.step("ask", log=log) as ask:
        token = thence.carry()
        with thence.step("again", log=log):
            again = thence.carry()
    assert sorted(token) == ["traceparent", "tracestate"]
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", token["traceparent"])
    assert token["tracestate"] == f"thence={ask.event_id}@{ask.lamport_clock}@{log.log_id}"
    assert token["traceparent"] != again["traceparent"]


@pytest.mark.promise("A3")
def test_steps_inside_one_another_are_of_one_trace_in_another_process_too(log):
    with thence.step("outer", log=log):
        outer = thence.carry()
        with (
            thence.step("middle"),
            thence.step("inner"),
            thence.propagate(futures.ProcessPoolExecutor(1)) as pool,
        ):
            tokens = outer, thence.carry(), pool.submit(thence.carry).result(WAIT_S)
    parents = [token["traceparent"] for token in tokens]
    assert len({parent.split("-")[1] for parent in parents}) == 1
    assert parents[0] != parents[1] == parents[2]


def test_trace_that_came_in_goes_on_with_what_others_said_of_it(log):
    token = {"Traceparent": PARENT, "TRACESTATE": f"vendor=a:b,thence={OTHER}@7@{OTHER},rojo=00"}
    with thence.carried(token):
        begun = log.append("asked")
        with thence.step("ask", log=log) as ask:
            on = thence.carry()
    assert (begun.caused_by, ask.caused_by) == ((OTHER,), (OTHER,))
    assert begun.lamport_clock == 8
    assert on["traceparent"].split("-")[1] == "ab" * 16
    mine, *others = on["tracestate"].split(",")
    assert mine == f"thence={ask.event_id}@{ask.lamport_clock}@{log.log_id}"
    assert others == ["vendor=a:b", "rojo=00"]


@pytest.mark.parametrize(
    "token",
    [
        {},
        {"traceparent": "x", "tracestate": "thence=ä;@@;" + "y" * 400},
        {"traceparent": f"00-{'0' * 32}-{'0' * 16}-00", "tracestate": ",,,=,thence="},
        {"tracestate": f"thence={OTHER} @1@{OTHER}"},
        {"tracestate": 7, 3: "x"},
    ],
)
def test_malformed_token_names_nothing_and_the_block_hides_what_is_around(log, token):
    with thence.because(log.append("before")), thence.carried(token):
        assert log.append("noted").caused_by == ()
    assert log.verify().findings == ()


def test_clock_of_a_stranger_leaves_room_for_all_events(log):
    with thence.carried({"tracestate": f"thence={OTHER}@{CLOCK_MAX}@{OTHER}"}):
        assert log.append("noted").caused_by == (OTHER,)
    assert log.append("later").lamport_clock == 2


def test_more_causes_than_a_token_holds_are_refused_and_a_step_holds_them(log):
    many = [log.append("e") for _ in range(12)]
    with thence.because(many):
        with pytest.raises(InvalidEvent) as refused:
            thence.carry()
        assert "begin a step" in refused.value.hint
        with thence.step("joined", log=log) as joined:
            token = thence.carry()
    with thence.carried(token):
        assert log.append("noted").caused_by == (joined.event_id,)


async def awaited():
    pass


def generated():
    yield


@pytest.mark.parametrize(
    ("refuse", "given", "hint"),
    [
        *[(thence.carried, token, "thence.carry()") for token in (None, "thence=x", [("a", "b")])],
        *[
            (thence.propagate, work, "pass a function")
            for work in (None, "note", 7, awaited, generated)
        ],
    ],
)
def test_what_is_no_token_and_no_work_is_refused(refuse, given, hint):
    with pytest.raises(InvalidEvent) as refused:
        refuse(given)
    assert hint in refused.value.hint


def test_propagated_function_has_its_name_and_pickles_as_it_does(log):
    function = thence.propagate(note)
    assert (function.__name__, function.__wrapped__) == ("note", note)
    assert pickle.loads(pickle.dumps(function))(log.folder) == ()
    assert thence.propagate(partial(note, log.folder))("t") == ()
    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(thence.propagate(lambda: None))


def test_executor_of_somebody_else_is_shut_down_with_its_wrapper():
    pool = futures.ThreadPoolExecutor(1)
    with thence.propagate(pool) as wrapped:
        assert wrapped.submit(os.getpid).result() == os.getpid()
    with pytest.raises(RuntimeError):
        pool.submit(os.getpid)


@pytest.mark.promise("A3")
def test_request_appends_with_the_causes_that_its_headers_carry(log):
    async def app(scope, receive, send):
        causes.append(log.append("served").caused_by)

    def request(headers, kind="http"):
        scope = {"type": kind, "headers": headers}
        asyncio.run(thence.CauseMiddleware(app)(scope, None, None))

    causes = []
    with thence.step("ask", log=log) as ask:
        headers = [(name.upper().encode(), v.encode()) for name, v in thence.carry().items()]
    request(headers)
    request([])
    request([(b"tracestate", b"\xff\xfe=,thence=\xff")])
    request(headers, "websocket")
    asyncio.run(thence.CauseMiddleware(app)({"type": "lifespan"}, None, None))
    assert causes == [(ask.event_id,), (), (), (ask.event_id,), ()]
    assert current_causes() == ()
