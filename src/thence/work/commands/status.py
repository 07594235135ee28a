"""`thence work status`: the board, as a replay of the log."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from thence.errors import GitFailed, ThenceError
from thence.work.board.board import as_json
from thence.work.board.move_attempt import CodeState
from thence.work.board.rounds import next_step, rounds_in_feature
from thence.work.board.state import (
    DONE,
    PLANNED,
    Board,
    FeatureState,
    PackageState,
)
from thence.work.commands.findings import sentence_here
from thence.work.journal.claims import is_held
from thence.work.naming import resolve
from thence.work.result import CommandResult
from thence.work.session.package_code import code_of_done
from thence.work.session.session import Session
from thence.work.vcs.overlaps import Overlap, at_work, overlaps, sentence

_TITLE_CHARACTERS_MAX = 60
_Forecast = Mapping[str, Sequence[Overlap]]
_Landed = Mapping[tuple[str, str], CodeState]
# the sentences on packages that are done, and have not landed
_SENTENCES: Mapping[str, str] = {
    "local": "merged here, not pushed to {target}",
    "missing": "its code, on {branch}, is not in {target}; next: merge it, or reopen it",
    "no_code": "{branch} changes nothing",
    "unknown": "landed unknown: nothing tells where its code is",
    "reverted": "reverted in {target} since; next: reopen it",
    "gone": "its code is not in {target} any more; next: merge it again, or reopen it",
}


def status(session: Session, feature: str | None) -> CommandResult:
    """Returns the board, of one feature if one is named; packages in planning files are planned.

    Raises Refused for a feature that is not there.
    """
    session.look()
    board = session.with_existing()
    if feature is not None:
        slug = resolve(feature, board.features)
        board = Board(board.project_uuid, {slug: board.features[slug]}, board.conflicts)
    forecast = {slug: _forecast(session, each) for slug, each in board.features.items()}
    landed = _landed(session, board)
    steps = {slug: _next_steps(session, each) for slug, each in board.features.items()}
    conflicts = [(c.subject, sentence_here(session, c)) for c in board.conflicts if c.is_open]
    result: dict[str, Any] = as_json(board)
    result["here"] = {
        "landed": [_as_json(key, state) for key, state in landed.items()],
        "overlaps": [
            {"feature_slug": slug, **each._asdict()}
            for slug, found in forecast.items()
            for each in found
        ],
        "next": [
            {"feature_slug": slug, "wp_id": wp_id, "next": step}
            for slug, found in steps.items()
            for wp_id, step in found.items()
        ],
    }
    lines = _lines(board, forecast, landed, steps, conflicts)
    return session.result(result, list(lines))


def _next_steps(session: Session, feature: FeatureState) -> Mapping[str, str]:
    """Returns the next step with each package that waits for a person and is not held."""
    rounds, home = rounds_in_feature(session.events, feature.slug), session.project.home
    found: dict[str, str] = {}
    for wp_id, package in feature.packages.items():
        step = next_step(feature, package, rounds.get(wp_id))
        is_waiting = package.lane == PLANNED and wp_id not in rounds
        if step is not None and not is_waiting and not is_held(home, package.subject):
            found[wp_id] = step
    return found


def _landed(session: Session, board: Board) -> _Landed:
    """Returns the state of the code of all done packages, as far as git knows."""
    if session.project.repo is None:
        return {}
    with suppress(GitFailed):
        return code_of_done(session, board)
    session.warnings.append("where the code of packages is was not looked for: git failed")
    return {}


def _as_json(key: tuple[str, str], state: CodeState) -> dict[str, str | None]:
    landed = state.landed
    return {
        "feature_slug": key[0],
        "wp_id": key[1],
        "state": state.kind,
        "target": state.target,
        "how": landed.how if landed else None,
        "commit": landed.commit if landed else None,
    }


def _forecast(session: Session, feature: FeatureState) -> Sequence[Overlap]:
    """Returns the packages at work that overlap when they are merged, as far as git knows."""
    packages = at_work(feature)
    if len(packages) < 2 or session.project.repo is None:
        return ()
    with suppress(ThenceError):  # no target, and no branch is checked out
        target, tips = session.target_of(feature), session.refs.branches
        commits = (tips.get(name, "-") for name in (target, *packages.values()))
        asked = partial(overlaps, session.repo, target, packages, tips=tips)
        try:
            found = session.memo.last(
                f"overlaps {feature.slug}", " ".join((*packages, *commits)), asked
            )
            return [Overlap(one, other, tuple(files), met) for one, other, files, met in found]
        except GitFailed as error:
            session.warnings.append(
                f"overlaps of {feature.slug} were not looked for: {error.cause}"
            )
    return ()


def _lines(
    board: Board,
    forecast: _Forecast,
    landed: _Landed,
    steps: Mapping[str, Mapping[str, str]],
    conflicts: Sequence[tuple[str, str]],
) -> Iterator[str]:
    if not board.features:
        yield "the board is empty"
        yield 'next: thence work setup-spec "what the feature is"'
    for number, (slug, feature) in enumerate(board.features.items()):
        if number:
            yield ""
        yield from _feature_lines(feature, landed, steps[slug], conflicts)
        yield from (f"  {sentence(each)}" for each in forecast[slug])


def _feature_lines(
    feature: FeatureState,
    landed: _Landed,
    steps: Mapping[str, str],
    conflicts: Sequence[tuple[str, str]],
) -> Iterator[str]:
    done = feature.done_count
    title = f"  {feature.title}" if feature.title else ""
    apart = [s for (slug, _), s in landed.items() if slug == feature.slug and s.kind != "landed"]
    there = f", {done - len(apart)} landed" if apart else ""
    yield f"{feature.slug}{title}  ({done} of {len(feature.packages)} done{there})"
    for lane, packages in feature.by_lane().items():
        for package in packages:
            state = landed.get((feature.slug, package.wp_id))
            yield f"  {lane:<10}  {_package_line(package, state)}"
            if package.wp_id in steps:
                yield f"{'':14}next: {steps[package.wp_id]}"
    for subject, result in conflicts:
        if feature.is_about(subject):
            yield f"  conflict: {result}"


def _package_line(package: PackageState, state: CodeState | None) -> str:
    result = f"{package.wp_id}  {package.title[:_TITLE_CHARACTERS_MAX]}".rstrip()
    more = []
    if package.agent and package.lane not in ("planned", DONE):
        more.append(package.agent)
    if state is not None and state.kind in _SENTENCES:
        more.append(_SENTENCES[state.kind].format(target=state.target, branch=state.branch))
    if package.open_claim:
        more.append("its worktree is not there yet")
    if package.dependencies and package.lane == "planned":
        more.append(f"after {', '.join(package.dependencies)}")
    gates = [gate for gate in package.gates.values() if not gate.is_passed]
    if gates:
        more.append(f"gates open: {', '.join(gate.gate_type for gate in gates)}")
    return f"{result}  ({'; '.join(more)})" if more else result
