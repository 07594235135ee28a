"""What is begun of a graph of packages, when, and by whom."""

from msgspec.structs import replace

from thence.work.board.state import FeatureState, PackageState
from thence.work.orchestrate.scheduling import Task, choose, pause_s
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
