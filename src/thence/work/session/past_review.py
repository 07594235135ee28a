"""Code of packages that is in its target before they are done.

The reflog of a package's worktree tells which commits were made there. Commits that came to it
from elsewhere, as by a merge of the target into the branch, do not count.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from thence.work.board.state import DOING, FOR_REVIEW, Board
from thence.work.naming import worktree_of
from thence.work.session.package_code import commits_in
from thence.work.session.package_refs import target_in
from thence.work.session.session import Session
from thence.work.vcs.landed import missing_commits
from thence.work.vcs.repository import Repository
from thence.work.vcs.worktrees import git_dir_of

_REFLOG_BYTES_MAX = 65_536
# old commit, new commit, who, when, and then how; a rebase's start and end make no commit
_MADE = re.compile(
    rb"[0-9a-f]+ ([0-9a-f]+) [^\t]*\t"
    rb"(?:commit\b|cherry-pick|revert|am:"
    rb"|rebase(?: -i)? \((?:pick|squash|fixup|reword|edit|continue))"
)


def commits_made(worktree: Path) -> tuple[str, ...]:
    """Returns the commits that were made in a worktree, the latest first; empty if git keeps none.

    Only the last 64 KiB of the worktree's reflog are read.
    """
    try:
        with (git_dir_of(worktree) / "logs/HEAD").open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _REFLOG_BYTES_MAX))
            lines = file.read().splitlines()
    except OSError:
        return ()
    matches = (_MADE.match(line) for line in reversed(lines))
    return tuple(dict.fromkeys(match[1].decode() for match in matches if match))


def commits_come(
    repo: Repository, commits: Sequence[str], before: str | None, after: str | None
) -> tuple[str, ...]:
    """Returns the commits that are in the history of `after` and not in that of `before`.

    Both are tips of one branch. Raises GitFailed.
    """
    if not commits or after is None or before == after:
        return ()
    absent = missing_commits(repo, after, commits)
    present = [commit for commit in commits if commit not in absent]
    if before is None or not present:
        return tuple(present)
    fresh = missing_commits(repo, before, present)
    return tuple(commit for commit in present if commit in fresh)


def in_target_before_done(session: Session, board: Board) -> dict[tuple[str, str], str]:
    """Returns the packages at work or in review whose code is in their target already.

    Each is mapped to the name of its target. Git is asked once for each target that has packages in
    work, and not again while neither moves. Raises GitFailed.
    """
    by_tip: dict[str, list[tuple[tuple[str, str], str, tuple[str, ...]]]] = {}
    for feature in board.features.values():
        if feature.project_uuid != board.project_uuid:
            continue
        for wp_id, package in feature.packages.items():
            if package.lane not in (DOING, FOR_REVIEW):
                continue
            worktree = session.project.root / worktree_of(feature.slug, wp_id)
            commits = commits_made(worktree)
            if not commits and package.reviewed is not None:
                commits = (package.reviewed.commit,)
            name = session.target_of(feature)
            target = target_in(session.refs, name)
            if commits and (tip := target.local or target.tip) is not None:
                by_tip.setdefault(tip, []).append(((feature.slug, wp_id), name, commits))
    landed: dict[tuple[str, str], str] = {}
    for tip, rows in by_tip.items():
        every = [commit for _, _, commits in rows for commit in commits]
        present = commits_in(session.repo, session.memo, tip, every)
        landed |= {key: name for key, name, commits in rows if not present.isdisjoint(commits)}
    return landed
