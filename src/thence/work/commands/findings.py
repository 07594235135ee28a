"""`thence work errors` and `thence work conflicts`: recent refusals, and conflicts of clones."""

from collections import Counter
from contextlib import suppress

from msgspec import to_builtins

from thence.errors import ThenceError
from thence.inspection.log_folder import next_node_id
from thence.merge.conflicts import Conflict
from thence.work.board.board import conflict_json
from thence.work.board.conflict_sides import Commits, package_name, person, sentence
from thence.work.board.package_numbers import SLOT
from thence.work.board.state import FeatureState
from thence.work.naming import branch_of, is_wp_id
from thence.work.result import CommandResult
from thence.work.session.package_refs import target_in
from thence.work.session.session import Session
from thence.work.vcs.refs import REMOTES, Refs
from thence.work.vcs.repository import HEADS, Repository

CONFLICTS_FOUND = 3
_COMMITS_MAX = 1000


def errors(session: Session, limit: int) -> CommandResult:
    """Returns the last refusals, the newest first."""
    found = session.errors.recent(limit, session.warnings.append)
    data = {"errors": [to_builtins(record) for record in found]}
    lines = []
    for record in found:
        lines.append(f"{record.timestamp[:19]}  {record.error_type}  {record.attempted_operation}")
        lines.append(f"  {record.reason}")
        if remedy := record.context.get("remedy"):
            lines.append(f"  what to do: {remedy}")
    return session.result(data, lines or ["nothing was refused"])


def conflicts(session: Session, is_all: bool) -> CommandResult:
    """Returns the open conflicts, or all there ever were. Open conflicts give exit code 3."""
    session.look()
    found = [each for each in session.board.conflicts if is_all or each.is_open]
    sentences = [sentence_here(session, each) for each in found]
    data = {
        "conflicts": [
            {**conflict_json(each), "open": each.is_open, "sentence": text}
            for each, text in zip(found, sentences, strict=True)
        ]
    }
    lines = []
    for each, text in zip(found, sentences, strict=True):
        feature, _, name = each.subject.rpartition("/")
        state = "open" if each.is_open else "resolved"
        lines.append(f"{feature.rpartition('/')[2]}/{name}: {state}: {text}")
        for event in each.events:
            kept = "kept  " if each.winner and event.event_id == each.winner.event_id else "passed"
            lines.append(f"  {kept}  {event.event_id}  {event.actor}  {event.event_type}")
        if each.is_open and is_wp_id(name) and each.slot != SLOT:
            about, winner = feature.rpartition("/")[2], each.winner or each.events[-1]
            lines.append(
                f"  next: thence work settle {name} --feature {about}"
                f" --winner {winner.event_id} --reason TEXT"
            )
    code = CONFLICTS_FOUND if any(each.is_open for each in found) else 0
    return session.result(data, lines or ["no conflicts"], exit_code=code)


def sentence_here(session: Session, conflict: Conflict) -> str:
    """Returns a conflict in one sentence, with the losers' commits known in this clone."""
    commits: tuple[Commits, ...] = ()
    about = [each for each in session.board.features.values() if each.is_about(conflict.subject)]
    if about and conflict.is_open and session.project.repo is not None:
        with suppress(ThenceError):  # no target, or git failed: the rest is reported
            node_id, target = next_node_id(session.project.home), session.target_of(about[0])
            commits = commits_of(session.repo, session.refs, node_id, target, about[0], conflict)
    return sentence(conflict, commits)


def commits_of(
    repo: Repository,
    refs: Refs,
    node_id: str | None,
    target: str,
    feature: FeatureState,
    conflict: Conflict,
) -> tuple[Commits, ...]:
    """Returns the commits of people who lost a package, as far as this clone has them.

    A branch of this clone belongs to the person who claimed the package here, under `node_id`;
    commits on branches of remotes belong to their authors. Raises GitFailed.
    """
    losers = {person(each) for each in conflict.events} - {
        person(conflict.winner) if conflict.winner else ""
    }
    if not losers or conflict.slot != "lane":
        return ()
    aim, branch = target_in(refs, target), branch_of(feature.slug, package_name(conflict))
    known = [commit for commit in (aim.tip, aim.local) if commit]
    here = {person(each) for each in conflict.events if each.node_id == node_id}
    found: Counter[tuple[str, str]] = Counter()
    for ref, commit in refs.commits.items():
        is_local = ref == HEADS + branch
        is_remote = ref.startswith(REMOTES) and ref.partition(REMOTES)[2].partition("/")[2]
        if (not is_local and is_remote != branch) or commit in known:
            continue
        asked = ("log", "--format=%an", f"--max-count={_COMMITS_MAX}", commit, "--not", *known)
        authors = repo.git.run(*asked, "--").decode("utf-8", "replace").splitlines()
        for author in authors:
            owner = next(iter(here)) if is_local and len(here) == 1 else " ".join(author.split())
            if owner in losers:
                found[owner, ref.removeprefix(HEADS).removeprefix(REMOTES)] += 1
        known.append(commit)
    return tuple(Commits(*where, count) for where, count in found.items())
