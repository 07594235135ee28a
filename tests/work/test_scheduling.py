"""What is begun of a graph of packages, when, and by whom."""

from msgspec.structs import replace

from thence.work.board.state import FeatureState, PackageState
from thence.work.orchestrate.scheduling import Failures, Task, choose, pause_s
from thence.work.project.configuration import AgentConfig, OrchestratorConfig


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


def ids(tasks):
    return [task.wp_id for task in tasks]


def test_dependency_that_was_waived_is_not_waited_for():
    feature = a_feature(WP01="rejected", WP02="planned WP01", WP03="planned WP09")
    assert chosen(feature, a_setup()) == []
    waived = {
        wp_id: replace(each, resolved=dict.fromkeys(each.dependencies, "skipped"))
        for wp_id, each in feature.packages.items()
    }
    assert ids(chosen(replace(feature, packages=waived), a_setup())) == ["WP02", "WP03"]


def test_package_in_doing_is_taken_up_again_if_nobody_holds_or_runs_it():
    feature = a_feature(WP01="doing", WP02="doing", WP03="doing", WP04="doing WP01")
    running = [Task("WP02", "implementation", "a", 0)]
    assert ids(chosen(feature, a_setup(), running, held=["WP03"])) == ["WP01"]


def test_what_is_in_review_is_reviewed_if_a_reviewer_is_configured():
    feature = approved(a_feature(WP01="for_review", WP02="for_review"), "WP01")
    assert chosen(feature, a_setup()) == []
    setup = a_setup(review="r")
    assert chosen(feature, setup) == [Task("WP02", "review", "r", 0)]


def test_what_most_wait_for_is_begun_first():
    feature = a_feature(
        WP01="planned",
        WP02="planned",
        WP03="planned",
        WP04="planned",
        WP05="planned WP03",
        WP06="planned WP05",
        WP07="planned WP02",
    )
    assert ids(chosen(feature, a_setup())) == ["WP03", "WP02", "WP01", "WP04"]


def test_what_is_done_does_not_lengthen_what_waits():
    feature = a_feature(
        WP01="planned", WP02="done WP01", WP03="done WP02", WP04="planned", WP05="planned WP04"
    )
    assert ids(chosen(feature, a_setup())) == ["WP04", "WP01"]


def test_fallback_is_not_used_because_the_first_agent_is_busy():
    feature = a_feature(WP01="planned", WP02="planned")
    setup = a_setup(implement="a b", a=1)
    assert chosen(feature, setup) == [Task("WP01", "implementation", "a", 0)]


def test_agent_is_tried_again_so_often_then_the_next_then_none():
    feature = a_feature(WP01="planned", WP02="planned WP01")
    setup = a_setup(retries=1, implement="a b")
    failed = {}
    for agent, count, tries in (("a", 1, 0), ("a", 2, 1), ("b", 1, 2), ("b", 2, 3)):
        assert chosen(feature, setup, failed=failed) == [
            Task("WP01", "implementation", agent, tries)
        ]
        failed["WP01", "implementation", agent] = Failures(count, 0.0)
    assert chosen(feature, setup, failed=failed) == []


def test_pause_doubles_up_to_five_minutes():
    setup = a_setup()
    assert [pause_s(setup, failures) for failures in (1, 2, 3, 7)] == [5, 10, 20, 300]
    assert pause_s(setup, 10**6) == 300
    assert pause_s(replace(setup, backoff_s=0.0), 10**6) == 0
