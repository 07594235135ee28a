"""The scheduling of a feature's packages: the tasks to begin now, with the free slots.

The functions are pure: running agents, failed tries, claims of others and the time are arguments. A
package waits, in any phase, as long as one of its dependencies is open.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from thence.work.board.move_request import is_closed
from thence.work.board.remarks import waiting_for
from thence.work.board.state import DOING, FOR_REVIEW, PLANNED, FeatureState, PackageState
from thence.work.project.configuration import BACKOFF_S_MAX, OrchestratorConfig

Phase = str  # "implementation" or "review"; phases without an agent have other names


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


def choose(
    feature: FeatureState,
    setup: OrchestratorConfig,
    running: Sequence[Task],
    failures: FailuresByTry,
    held: Collection[str],
    now_s: float,
) -> list[Task]:
    """Returns the tasks to begin now, ordered by how many packages wait, then by id.

    A package in `held`, which somebody else works on, is left out, and so is one that is approved.
    A package whose agent is busy or has to pause goes to no other agent, and takes no slot. The
    agent is the first that has a try left; nobody reviews their own work, unless there is no other
    reviewer and the options allow it.
    """
    busy = {task.wp_id for task in running} | set(held)
    agents = [task.agent for task in running]
    waiting = waiting_for(feature)
    chosen: list[Task] = []
    ranked = sorted(
        feature.packages.values(), key=lambda one: (-waiting.get(one.wp_id, 0), one.wp_id)
    )
    for package in ranked:
        if package.wp_id in busy or open_dependencies(feature, package):
            continue
        if len(agents) >= setup.slots:
            break
        if package.lane in (PLANNED, DOING):
            phase, names = "implementation", setup.implement or tuple(setup.agents)
        elif package.lane == FOR_REVIEW and setup.review and not package.is_approved:
            others = tuple(name for name in setup.review if name != package.agent)
            phase, names = "review", others or (setup.review if setup.author_may_approve else ())
        else:
            continue
        tried = {key[2]: one for key, one in failures.items() if key[:2] == (package.wp_id, phase)}
        left = [n for n in names if n not in tried or tried[n].failed <= setup.retries]
        if not left or agents.count(left[0]) >= setup.agents[left[0]].slots:
            continue
        if left[0] in tried and tried[left[0]].not_before_s > now_s:
            continue
        agents.append(left[0])
        tries = sum(one.failed for one in tried.values())
        chosen.append(Task(package.wp_id, phase, left[0], tries))
    return chosen


def pause_s(setup: OrchestratorConfig, failures: int) -> float:
    """Returns the pause of an agent after some failures: 5 minutes at most."""
    doublings = min(max(failures - 1, 0), 30)
    return min(setup.backoff_s * 2.0**doublings, BACKOFF_S_MAX)


def open_dependencies(feature: FeatureState, package: PackageState) -> tuple[str, ...]:
    """Returns the dependencies that a package waits for."""
    needed = dict.fromkeys(package.dependencies)
    return tuple(dependency for dependency in needed if not is_closed(feature, package, dependency))
