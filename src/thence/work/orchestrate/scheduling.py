"""The scheduling of a feature's packages: the tasks to begin now, with the free slots.

The functions are pure: running agents, failed tries, claims of others and the time are arguments. A
package waits, in any phase, as long as one of its dependencies is open.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from thence.work.board.move_request import is_closed
from thence.work.board.remarks import waiting_for
from thence.work.board.state import (
    DOING,
    DONE,
    FOR_REVIEW,
    PLANNED,
    REJECTED,
    FeatureState,
    PackageState,
)
from thence.work.plan.tasks import PlannedPackage
from thence.work.project.configuration import BACKOFF_S_MAX, OrchestratorConfig

Phase = str  # "implementation" or "review"; phases without an agent have other names
_NO_PRIORITY = "P:"  # after every P and a digit


class Task(NamedTuple):
    """A package for an agent; `retry_count` is the number of failed tries of the phase."""

    wp_id: str
    phase: Phase
    agent: str
    retry_count: int


class Failures(NamedTuple):
    """The failed tries of an agent at a phase of a package since that was last begun afresh.

    The agent is not tried again before `not_before_s`, on the clock that `choose` is given.
    """

    failed: int
    not_before_s: float


# by package, phase and agent
FailuresByTry = Mapping[tuple[str, Phase, str], Failures]


class DryPlan(NamedTuple):
    """The plan of a feature if every try succeeded and all lasted equally long.

    `waves` are the tasks that run at once; `stranded` maps each package that no wave finishes to
    the reason that it waits.
    """

    waves: tuple[tuple[Task, ...], ...]
    stranded: Mapping[str, str]


def choose(
    feature: FeatureState,
    packages: Mapping[str, PlannedPackage],
    setup: OrchestratorConfig,
    running: Sequence[Task],
    failures: FailuresByTry,
    held: Collection[str],
    now_s: float,
) -> list[Task]:
    """Returns the tasks to begin now, ordered by priority, by how many packages wait, by id.

    A package in `held`, which somebody else works on, is left out, and so is one that is approved.
    `packages` are those of tasks.md. A package whose agent is busy or has to pause goes
    to no other agent, and takes no slot.
    """
    busy = {task.wp_id for task in running} | set(held)
    agents = [task.agent for task in running]
    waiting = waiting_for(feature)

    def rank(candidate: tuple[PackageState, Phase]) -> tuple[str, int, str]:
        wp_id = candidate[0].wp_id
        priority = packages[wp_id].priority if wp_id in packages else ""
        return priority or _NO_PRIORITY, -waiting.get(wp_id, 0), wp_id

    chosen: list[Task] = []
    for package, phase in sorted(_ready(feature, setup), key=rank):
        if package.wp_id in busy:
            continue
        if len(agents) >= setup.slots:
            break
        by_agent = {
            key[2]: one for key, one in failures.items() if key[:2] == (package.wp_id, phase)
        }
        agent = _agent(setup, package, phase, by_agent)
        if agent is None or agents.count(agent) >= setup.agents[agent].slots:
            continue
        if agent in by_agent and by_agent[agent].not_before_s > now_s:
            continue
        agents.append(agent)
        tries = sum(one.failed for one in by_agent.values())
        chosen.append(Task(package.wp_id, phase, agent, tries))
    return chosen


def pause_s(setup: OrchestratorConfig, failures: int) -> float:
    """Returns the pause of an agent after some failures: 5 minutes at most."""
    doublings = min(max(failures - 1, 0), 30)
    return min(setup.backoff_s * 2.0**doublings, BACKOFF_S_MAX)


def plan(
    feature: FeatureState,
    packages: Mapping[str, PlannedPackage],
    setup: OrchestratorConfig,
) -> DryPlan:
    """Returns the plan of a feature from its present state, with nobody else at work on it."""
    waves: list[tuple[Task, ...]] = []
    state = _merged(feature, setup)
    while tasks := choose(state, packages, setup, (), {}, (), 0.0):
        waves.append(tuple(tasks))
        state = _merged(_after(state, setup, tasks), setup)
    stranded = {
        package.wp_id: _waits_for(state, package)
        for package in state.packages.values()
        if package.lane not in (DONE, REJECTED)
    }
    return DryPlan(tuple(waves), stranded)


def _ready(
    feature: FeatureState, setup: OrchestratorConfig
) -> Iterator[tuple[PackageState, Phase]]:
    """Yields the packages that could be begun with enough slots and agents, with their phases."""
    for package in feature.packages.values():
        phase: Phase
        if package.lane in (PLANNED, DOING):
            phase = "implementation"
        elif package.lane == FOR_REVIEW and setup.review and not package.is_approved:
            phase = "review"
        else:
            continue
        if not open_dependencies(feature, package):
            yield package, phase


def _agent(
    setup: OrchestratorConfig,
    package: PackageState,
    phase: Phase,
    failures: Mapping[str, Failures],
) -> str | None:
    """Returns the next agent: the first that has a try left; None if none has.

    Nobody reviews their own work, unless there is no other reviewer and the options allow it.
    """
    names = setup.implement or tuple(setup.agents)
    if phase == "review":
        others = tuple(name for name in setup.review if name != package.agent)
        names = others or (setup.review if setup.author_may_approve else ())
    return next(
        (name for name in names if name not in failures or failures[name].failed <= setup.retries),
        None,
    )


def open_dependencies(feature: FeatureState, package: PackageState) -> tuple[str, ...]:
    """Returns the dependencies that a package waits for."""
    needed = dict.fromkeys(package.dependencies)
    return tuple(dependency for dependency in needed if not is_closed(feature, package, dependency))


def _merged(feature: FeatureState, setup: OrchestratorConfig) -> FeatureState:
    """Returns a feature after the merge of all packages that wait for nothing else."""
    while True:
        done = {
            package.wp_id: replace(package, lane=DONE)
            for package in feature.packages.values()
            if package.lane == FOR_REVIEW
            and (not setup.review or package.is_approved)
            and not open_dependencies(feature, package)
        }
        if not done:
            return feature
        feature = replace(feature, packages={**feature.packages, **done})


def _after(feature: FeatureState, setup: OrchestratorConfig, tasks: Sequence[Task]) -> FeatureState:
    """Returns a feature after some tasks have succeeded."""
    moved = dict(feature.packages)
    for task in tasks:
        is_reviewed = task.phase == "review"
        agent = moved[task.wp_id].agent if is_reviewed else task.agent
        lane = DONE if is_reviewed or not setup.review else FOR_REVIEW
        moved[task.wp_id] = replace(moved[task.wp_id], lane=lane, agent=agent)
    return replace(feature, packages=moved)


def _waits_for(feature: FeatureState, package: PackageState) -> str:
    names = [
        f"{wp_id} ({feature.packages[wp_id].lane if wp_id in feature.packages else 'unknown'})"
        for wp_id in open_dependencies(feature, package)
    ]
    return f"it waits for {', '.join(names)}" if names else f"it is in {package.lane}"
