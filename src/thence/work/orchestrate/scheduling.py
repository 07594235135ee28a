"""The scheduling of a feature's packages: the tasks to begin now, with the free slots.

The functions are pure: running agents, failed tries, claims of others and the time are arguments. A
package waits, in any phase, as long as one of its dependencies is open.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from thence.work.board.dependencies import cycles
from thence.work.board.move_request import is_closed
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

REVERTED = "reverted"  # the lane of done packages whose code was taken out again, here alone

Phase = str  # "implementation" or "review"; phases without an agent have other names
_NO_PRIORITY = "P:"  # behind every P and a digit


class Task(NamedTuple):
    """A package for an agent; `retry_count` is the number of failed tries of the phase."""

    wp_id: str
    phase: Phase
    agent: str
    retry_count: int


class Running(NamedTuple):
    """A package that an agent is at work on."""

    wp_id: str
    phase: Phase
    agent: str


class Failed(msgspec.Struct, frozen=True):
    """The failures of an agent at a phase of a package since that was last begun afresh.

    The agent is not tried again before `not_before_s`, on the clock that `choose` is given.
    """

    wp_id: str
    phase: Phase
    agent: str
    count: int
    not_before_s: float


class DryPlan(NamedTuple):
    """The plan of a feature if every try succeeded and all lasted equally long.

    `waves` are the tasks that run at once; `critical_path` is the longest chain of packages that
    wait for each other. `unknown` are pairs of a package and its dependency that is no package.
    `stranded` maps each package that no wave finishes to the reason that it waits.
    """

    waves: tuple[tuple[Task, ...], ...]
    critical_path: tuple[str, ...]
    cycles: tuple[tuple[str, ...], ...]
    unknown: tuple[tuple[str, str], ...]
    stranded: Mapping[str, str]


def choose(
    feature: FeatureState,
    packages: Mapping[str, PlannedPackage],
    setup: OrchestratorConfig,
    running: Sequence[Running],
    failed: Sequence[Failed],
    held: Collection[str],
    now_s: float,
) -> list[Task]:
    """Returns the tasks to begin now, ordered by priority, by length of the waiting chain, by id.

    A package in `held`, which somebody else works on, is left out, and so is one that is approved.
    `packages` are those of tasks.md. A package whose agent is busy or has to pause goes
    to no other agent, and takes no slot.
    """
    busy = {one.wp_id for one in running} | set(held)
    agents = [one.agent for one in running]
    failures = _by_phase(failed)
    behind = _behind(feature)
    ready = [pair for pair in _ready(feature, setup) if pair[0].wp_id not in busy]
    ready.sort(key=lambda pair: _rank(pair[0].wp_id, packages, behind))
    chosen: list[Task] = []
    for package, phase in ready:
        if len(agents) >= setup.slots:
            break
        by_agent = failures.get((package.wp_id, phase), {})
        agent = _agent(setup, package, phase, by_agent)
        if agent is None or agents.count(agent) >= setup.agents[agent].slots:
            continue
        if agent in by_agent and by_agent[agent].not_before_s > now_s:
            continue
        agents.append(agent)
        tries = sum(failure.count for failure in by_agent.values())
        chosen.append(Task(package.wp_id, phase, agent, tries))
    return chosen


def with_reverted(feature: FeatureState, reverted: Collection[str]) -> FeatureState:
    """Returns a feature in which done packages whose code was taken out again are not done.

    No agent gets them, and packages that depend on them wait.
    """
    out = {
        wp_id: replace(package, lane=REVERTED)
        for wp_id, package in feature.packages.items()
        if wp_id in reverted and package.lane == DONE
    }
    return replace(feature, packages={**feature.packages, **out}) if out else feature


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
    while tasks := choose(state, packages, setup, (), (), (), 0.0):
        waves.append(tuple(tasks))
        state = _merged(_after(state, setup, tasks), setup)
    open_ones = [
        _Open(package.wp_id, _open_dependencies(feature, package)) for package in _open(feature)
    ]
    unknown = tuple(
        (package.wp_id, needed)
        for package in open_ones
        for needed in package.dependencies
        if needed not in feature.packages
    )
    stranded = {package.wp_id: _waits_for(state, package) for package in _open(state)}
    return DryPlan(tuple(waves), _critical_path(feature), cycles(open_ones), unknown, stranded)


class _Open(NamedTuple):
    """A package that is not closed, with the dependencies that it waits for."""

    wp_id: str
    dependencies: tuple[str, ...]


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
        if not _open_dependencies(feature, package):
            yield package, phase


def _agent(
    setup: OrchestratorConfig, package: PackageState, phase: Phase, failures: Mapping[str, Failed]
) -> str | None:
    """Returns the next agent: the first that has a try left; None if none has.

    Nobody reviews their own work, unless there is no other reviewer and the options allow it.
    """
    names = setup.implement or tuple(setup.agents)
    if phase == "review":
        others = tuple(name for name in setup.review if name != package.agent)
        names = others or (setup.review if setup.author_may_approve else ())
    return next(
        (name for name in names if name not in failures or failures[name].count <= setup.retries),
        None,
    )


def _by_phase(failed: Sequence[Failed]) -> dict[tuple[str, str], dict[str, Failed]]:
    failures: dict[tuple[str, str], dict[str, Failed]] = {}
    for failure in failed:
        failures.setdefault((failure.wp_id, failure.phase), {})[failure.agent] = failure
    return failures


def _rank(
    wp_id: str, packages: Mapping[str, PlannedPackage], behind: Mapping[str, int]
) -> tuple[str, int, str]:
    priority = packages[wp_id].priority if wp_id in packages else ""
    return priority or _NO_PRIORITY, -behind[wp_id], wp_id


def _open(feature: FeatureState) -> list[PackageState]:
    return [
        package for package in feature.packages.values() if package.lane not in (DONE, REJECTED)
    ]


def _open_dependencies(feature: FeatureState, package: PackageState) -> tuple[str, ...]:
    needed = dict.fromkeys(package.dependencies)
    return tuple(dependency for dependency in needed if not is_closed(feature, package, dependency))


def _behind(feature: FeatureState) -> dict[str, int]:
    """Returns the length of the longest chain of packages that waits for each open package.

    The lengths are computed from the ends of the graph backwards; for packages before a cycle, or
    in one, the cycle does not count.
    """
    needs = {package.wp_id: _open_dependencies(feature, package) for package in _open(feature)}
    lengths = dict.fromkeys(needs, 0)
    counts = dict.fromkeys(needs, 0)
    for dependencies in needs.values():
        for wp_id in dependencies:
            if wp_id in counts:
                counts[wp_id] += 1
    ends = [wp_id for wp_id, count in counts.items() if count == 0]
    while ends:
        last = ends.pop()
        for wp_id in needs[last]:
            if wp_id not in counts:
                continue
            lengths[wp_id] = max(lengths[wp_id], lengths[last] + 1)
            counts[wp_id] -= 1
            if counts[wp_id] == 0:
                ends.append(wp_id)
    return lengths


def _critical_path(feature: FeatureState) -> tuple[str, ...]:
    lengths = _behind(feature)
    needs = {package.wp_id: _open_dependencies(feature, package) for package in _open(feature)}
    path: list[str] = []
    following: list[str] = list(needs)
    while following:
        path.append(min(following, key=lambda wp_id: (-lengths[wp_id], wp_id)))
        length = lengths[path[-1]]
        following = [
            wp_id
            for wp_id, dependencies in needs.items()
            if path[-1] in dependencies and lengths[wp_id] == length - 1
        ]
    return tuple(path)


def _merged(feature: FeatureState, setup: OrchestratorConfig) -> FeatureState:
    """Returns a feature after the merge of all packages that wait for nothing else."""
    while True:
        done = {
            package.wp_id: replace(package, lane=DONE)
            for package in feature.packages.values()
            if package.lane == FOR_REVIEW
            and (not setup.review or package.is_approved)
            and not _open_dependencies(feature, package)
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
        for wp_id in _open_dependencies(feature, package)
    ]
    return f"it waits for {', '.join(names)}" if names else f"it is in {package.lane}"
