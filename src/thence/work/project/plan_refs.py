"""The branches of planning files, `plan/<feature>`, where features land by pull requests.

A plan branch is found here, and on the remote that the default branch follows, else on origin.
Those of other remotes are not read: they may have been fetched for a review.
"""

from collections.abc import Iterator

from thence.git.objects import is_file, objects
from thence.git.refs import REMOTES, Refs
from thence.git.repository import HEADS, Repository
from thence.work.names import planned_in
from thence.work.project.project_id import CONFIG

_DEFAULT_REMOTE = "origin"


def own_refs(refs: Refs) -> Refs:
    """Returns refs without the commits of remotes that are not the project's own."""
    remote = refs.remotes.get(refs.default or "") or _DEFAULT_REMOTE
    commits = {
        ref: commit
        for ref, commit in refs.commits.items()
        if not ref.startswith(REMOTES) or ref.startswith(f"{REMOTES}{remote}/")
    }
    return refs._replace(commits=commits)


def plan_refs(refs: Refs) -> dict[str, list[str]]:
    """Returns the features that have plan branches, each with these refs, local ones first."""
    by_slug: dict[str, list[str]] = {}
    for ref in sorted(own_refs(refs).commits):
        short = ref.removeprefix(HEADS)
        if short == ref:
            short = ref.removeprefix(REMOTES).partition("/")[2] if ref.startswith(REMOTES) else ""
        if slug := planned_in(short):
            by_slug.setdefault(slug, []).append(ref)
    return by_slug


def planned_configurations(repo: Repository, refs: Refs) -> Iterator[bytes]:
    """Yields the configurations of the project on plan branches; git is asked only if there are."""
    names = [ref for places in plan_refs(refs).values() for ref in places]
    if not names:
        return
    with objects(repo) as store:
        for tip in dict.fromkeys(refs.commits[name] for name in names):
            commit = store.commit(tip)
            entry = store.find(commit[1], CONFIG) if commit else None
            if entry is not None and is_file(entry):
                yield store.blob(entry.oid)
