"""What is begun of a graph of packages, when, and by whom, whatever slots and failures are."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from thence.work.board.state import (
    DOING,
    DONE,
    FOR_REVIEW,
    LANES,
    PLANNED,
    REJECTED,
    FeatureState,
    PackageState,
)
from thence.work.orchestrate.orchestrator import choose
from thence.work.orchestrate.package_task import Failures, Task, pause_s
from thence.work.project.configuration import AgentConfig, OrchestratorConfig

IDS = [f"WP{number:02}" for number in range(1, 10)]
NOW_S = 10.0

packages = st.builds(
    lambda lane, needed, agent: (lane, tuple(needed), agent),
    st.sampled_from((*LANES, PLANNED, PLANNED, DOING, FOR_REVIEW, "parked")),
    st.lists(st.sampled_from([*IDS, "WP99"]), max_size=3),
    st.sampled_from((None, "a", "b", "somebody")),
)
phases = st.sampled_from(("implementation", "review"))
names = st.lists(st.sampled_from("abc"), unique=True)


@st.composite
def features(draw, is_orderly=False):
    told = draw(st.dictionaries(st.sampled_from(IDS), packages, max_size=9))
    found = {}
    for wp_id, (lane, needed, agent) in sorted(told.items()):
        if is_orderly:
            lane, needed = PLANNED, tuple(each for each in needed if each in found)
        found[wp_id] = PackageState(
            wp_id=wp_id, subject=wp_id, lane=lane, agent=agent, dependencies=needed
        )
    return FeatureState(project_uuid=None, slug="001-x", packages=found)


@st.composite
def setups(draw):
    implement, review = draw(names.filter(bool)), draw(names)
    slots = {name: draw(st.integers(1, 3)) for name in "abc"}
    agents = {name: AgentConfig((name,), slots[name], 9, 9, {}) for name in "abc"}
    limits = draw(st.integers(1, 5)), draw(st.integers(0, 2))
    return OrchestratorConfig(*limits, 5.0, tuple(implement), tuple(review), agents, ())


runs = st.lists(
    st.builds(Task, st.sampled_from(IDS), phases, st.sampled_from("abcd"), st.just(0)),
    max_size=4,
    unique_by=lambda each: each.wp_id,
)
failures = st.dictionaries(
    st.tuples(st.sampled_from(IDS), phases, st.sampled_from("abc")),
    st.builds(Failures, st.integers(1, 4), st.sampled_from((0.0, 5.0, 15.0))),
    max_size=12,
)
situations = st.tuples(
    features(), setups(), runs, failures, st.sets(st.sampled_from(IDS), max_size=3)
)


def may_begin(feature, package):
    """Tells whether a package may begin; nothing is waived here."""
    lanes = {wp_id: each.lane for wp_id, each in feature.packages.items()}
    return all(lanes.get(needed) == DONE for needed in package.dependencies)


def turns(setup, package, phase, failed):
    """Returns the agents of a phase in their order, without those that failed too often."""
    order = setup.implement
    if phase == "review":
        order = [name for name in setup.review if name != package.agent] or setup.review
    gone = {
        agent
        for (wp_id, failing, agent), one in failed.items()
        if (wp_id, failing) == (package.wp_id, phase) and one.failed > setup.retries
    }
    return [name for name in order if name not in gone]


def phase_of(package, setup):
    if package.lane in (PLANNED, DOING):
        return "implementation"
    return "review" if package.lane == FOR_REVIEW and setup.review else None


def is_paused(failed, package, phase, agent):
    one = failed.get((package.wp_id, phase, agent))
    return one is not None and one.not_before_s > NOW_S


def ids(tasks):
    return [task.wp_id for task in tasks]


@given(situations)
def test_no_slot_is_used_twice(situation):
    feature, setup, running, failed, held = situation
    tasks = choose(feature, setup, running, failed, held, NOW_S)
    assert not tasks or len(tasks) + len(running) <= setup.slots
    used = Counter(each.agent for each in (*running, *tasks))
    assert all(used[each.agent] <= setup.agents[each.agent].slots for each in tasks)


@given(situations)
def test_nothing_is_begun_that_is_held_runs_waits_or_is_closed(situation):
    feature, setup, running, failed, held = situation
    tasks = choose(feature, setup, running, failed, held, NOW_S)
    assert len(set(ids(tasks))) == len(tasks)
    for task in tasks:
        package = feature.packages[task.wp_id]
        assert task.wp_id not in held
        assert task.wp_id not in ids(running)
        assert may_begin(feature, package)
        assert task.phase == phase_of(package, setup)
        assert not is_paused(failed, package, task.phase, task.agent)
        assert task.agent == turns(setup, package, task.phase, failed)[0]
        tries = [one.failed for key, one in failed.items() if key[:2] == task[:2]]
        assert task.retry_count == sum(tries)


@given(situations)
def test_nothing_is_left_that_could_begin_before_what_does(situation):
    feature, setup, running, failed, held = situation
    tasks = choose(feature, setup, running, failed, held, NOW_S)
    used = Counter(each.agent for each in (*running, *tasks))
    is_full = len(tasks) + len(running) >= setup.slots
    for wp_id, package in feature.packages.items():
        phase = phase_of(package, setup)
        left = turns(setup, package, phase, failed) if phase else []
        if wp_id in ids(tasks) or wp_id in held or wp_id in ids(running) or not left:
            continue
        if not may_begin(feature, package) or is_paused(failed, package, phase, left[0]):
            continue
        # it had to wait for a slot, and nothing that fewer wait for got that
        is_busy = used[left[0]] >= setup.agents[left[0]].slots
        assert is_full or is_busy
        rivals = [task for task in tasks if not is_busy or task.agent == left[0]]
        assert all(rank(feature, task.wp_id) <= rank(feature, wp_id) for task in rivals)


def rank(feature, wp_id):
    """Tells how many open packages wait for one, directly or not, as a number that falls."""
    there = [one for one in feature.packages.values() if one.lane not in (DONE, REJECTED)]
    found = {wp_id}
    for _ in there:
        found |= {one.wp_id for one in there if found & {*one.dependencies}}
    return -len(found - {wp_id})


@given(situations)
def test_what_most_wait_for_begins_first(situation):
    feature, setup, running, failed, held = situation
    tasks = choose(feature, setup, running, failed, held, NOW_S)
    order = [(rank(feature, task.wp_id), task.wp_id) for task in tasks]
    assert order == sorted(order)


@given(features(is_orderly=True), setups(), st.randoms(use_true_random=False))
def test_feature_gets_to_its_end_whatever_fails(feature, setup, chance):
    """Each step something begins, ends or may be tried again, until there is nothing more."""
    failed, running, now_s = {}, [], 0.0
    tries = len(setup.agents) * (setup.retries + 1)
    for _ in range(2 * len(feature.packages) * tries + 1):
        tasks = choose(feature, setup, running, failed, (), now_s)
        running += tasks
        if not running:
            later = [each.not_before_s for each in failed.values() if each.not_before_s > now_s]
            if not later:
                break
            now_s = min(later)
            continue
        ended = running.pop(chance.randrange(len(running)))
        package = feature.packages[ended.wp_id]
        if chance.random() < 0.3:
            count = failed[ended[:3]].failed + 1 if ended[:3] in failed else 1
            failed[ended[:3]] = Failures(count, now_s + pause_s(setup, count))
            lane = DOING if ended.phase == "implementation" else FOR_REVIEW
        else:
            lane = DONE if ended.phase == "review" or not setup.review else FOR_REVIEW
        agent = ended.agent if ended.phase == "implementation" else package.agent
        moved = replace(package, lane=lane, agent=agent)
        feature = replace(feature, packages={**feature.packages, ended.wp_id: moved})
    stuck = {
        package.wp_id
        for package in feature.packages.values()
        if (phase := phase_of(package, setup)) and may_begin(feature, package)
        if not turns(setup, package, phase, failed)
    }
    for wp_id, package in feature.packages.items():
        if package.lane != DONE and wp_id not in stuck:
            assert not may_begin(feature, package)
    if not stuck:
        assert {each.lane for each in feature.packages.values()} <= {DONE}


def a_feature(**packages):
    """Returns a feature; each package is given as its lane, or as lane and dependencies."""
    found = {}
    for wp_id, told in packages.items():
        lane, *needed = told.split()
        found[wp_id] = PackageState(
            wp_id=wp_id, subject=wp_id, lane=lane, dependencies=tuple(needed)
        )
    return FeatureState(project_uuid=None, slug="001-x", packages=found)


def approved(feature, wp_id):
    package = replace(feature.packages[wp_id], approved_by="r")
    return replace(feature, packages={**feature.packages, wp_id: package})


def a_setup(slots=4, retries=1, implement="a", review="", **agent_slots):
    names = dict.fromkeys([*implement.split(), *review.split()])
    agents = {name: AgentConfig((name,), agent_slots.get(name, slots), 9, 9, {}) for name in names}
    order = tuple(implement.split()), tuple(review.split())
    return OrchestratorConfig(slots, retries, 5.0, *order, agents, ())


def chosen(feature, setup, running=(), failed=None, held=(), now_s=0.0):
    return choose(feature, setup, running, failed or {}, held, now_s)


def test_dependency_that_was_waived_is_not_waited_for():
    feature = a_feature(WP01="rejected", WP02="planned WP01", WP03="planned WP09")
    assert chosen(feature, a_setup()) == []
    waived = {
        wp_id: replace(each, resolved=dict.fromkeys(each.dependencies, "skipped"))
        for wp_id, each in feature.packages.items()
    }
    assert ids(chosen(replace(feature, packages=waived), a_setup())) == ["WP02", "WP03"]


def test_what_is_in_review_is_reviewed_if_a_reviewer_is_configured():
    feature = approved(a_feature(WP01="for_review", WP02="for_review"), "WP01")
    assert chosen(feature, a_setup()) == []
    setup = a_setup(review="r")
    assert chosen(feature, setup) == [Task("WP02", "review", "r", 0)]


def test_pause_doubles_up_to_five_minutes():
    setup = a_setup()
    assert [pause_s(setup, failures) for failures in (1, 2, 3, 7)] == [5, 10, 20, 300]
    assert pause_s(setup, 10**6) == 300
    assert pause_s(replace(setup, backoff_s=0.0), 10**6) == 0
