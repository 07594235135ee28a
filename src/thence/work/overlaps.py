"""Overlaps: packages at work whose branches change the same files, told before they are merged.

Branches are compared by git alone, without a working tree: uncommitted changes don't count. Nothing
is merged as a trial: whether git could merge the two by itself is not told.
"""

import os
from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

from thence.git.repository import Repository
from thence.work.board.state import DOING, FOR_REVIEW, FeatureState
from thence.work.day_lines import FOLDER

PAIRS_MAX = 100  # most pairs that are compared with each other, by two calls of git for each
FILES_SHOWN_MAX = 3

# the new blob of each file that a branch has changed; zeros for a file that it has removed
_Changes = Mapping[str, str]


class Overlap(NamedTuple):
    """Two packages that changed the same files, in order of their names."""

    first: str
    second: str
    files: tuple[str, ...]


def at_work(feature: FeatureState) -> dict[str, str]:
    """Returns the branches of the packages that somebody works on or reviews."""
    return {
        package.wp_id: package.workspace.branch
        for package in feature.packages.values()
        if package.workspace and package.lane in (DOING, FOR_REVIEW)
    }


def sentence(overlap: Overlap) -> str:
    """Returns an overlap as a sentence."""
    files = ", ".join(overlap.files[:FILES_SHOWN_MAX])
    rest = len(overlap.files) - FILES_SHOWN_MAX
    others = f" and {rest} more" if rest > 0 else ""
    return f"{overlap.first} and {overlap.second} both change {files}{others}"


def overlaps(
    repo: Repository, target: str, packages: Mapping[str, str], tips: Mapping[str, str]
) -> tuple[Overlap, ...]:
    """Returns the packages whose branches changed the same files since they left the target.

    `packages` maps packages to their branches, `tips` branches to their commits; missing branches,
    and those that have no history in common with the target, are left out. Equal changes are no
    overlap, nor are changes that both have from a third branch, or one from the other: such are
    looked for in the first PAIRS_MAX pairs with files in common. Raises GitFailed if git can't be
    asked.
    """
    start = tips.get(target)
    if start is None or len(packages) < 2:
        return ()
    commits = {wp_id: tips[name] for wp_id, name in sorted(packages.items()) if name in tips}
    changes = {wp_id: _changes(repo, start, tip) for wp_id, tip in commits.items()}
    pairs: list[Overlap] = []
    compared_count = 0
    for first, second in combinations(changes, 2):
        files = _shared(changes[first], changes[second])
        if files and compared_count < PAIRS_MAX:
            compared_count += 1
            one, other = commits[first], commits[second]
            files &= _shared(_changes(repo, other, one), _changes(repo, one, other))
        if files:
            pairs.append(Overlap(first, second, tuple(sorted(files))))
    return tuple(pairs)


def _changes(repo: Repository, target: str, tip: str) -> _Changes:
    """Returns the files that a branch has changed since it left another; not our day files."""
    arguments = ("diff", "--raw", "-z", "--no-renames", "--no-abbrev", "--ignore-submodules=dirty")
    answer = repo.git.ask(*arguments, f"{target}...{tip}")
    if answer.status:  # such as for want of a common history
        return {}
    fields = iter(os.fsdecode(answer.out).split("\0"))
    blobs = [(head.split()[3], next(fields)) for head in fields if head]
    return {name: blob for blob, name in blobs if not name.startswith(f"{FOLDER}/")}


def _shared(one: _Changes, other: _Changes) -> frozenset[str]:
    """Returns the files that both changed, with different results."""
    return frozenset(name for name in one.keys() & other.keys() if one[name] != other[name])
