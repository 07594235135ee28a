"""The commits of people who lost a package in a conflict, as far as this clone's git has them."""

from collections import Counter

from thence.merge.conflicts import Conflict
from thence.work.board.conflict_sides import Commits, package_name, person
from thence.work.board.state import FeatureState
from thence.work.naming import branch_of
from thence.work.session.package_refs import target_in
from thence.work.vcs.refs import REMOTES, Refs
from thence.work.vcs.repository import HEADS, Repository

_COMMITS_MAX = 1000


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
