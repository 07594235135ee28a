"""`thence work setup-spec`: begins a feature with its folder and its spec."""

from thence.errors import PlanningError
from thence.replica import now
from thence.work.day_lines import Splice, if_missing
from thence.work.journal.store import WorkEvent
from thence.work.naming import new_slug
from thence.work.plan.planning_files import Meta
from thence.work.result import CommandResult
from thence.work.session.command_commit import check_committer, commit
from thence.work.session.session import Session
from thence.work.vcs.locks import PLANNING, held

MISSION = "software-dev"
_SPEC = """# {title}

## What and why

## How it is accepted

"""
_PLAN = """# How {slug} is built

"""


def setup_spec(
    session: Session, title: str, *, mission: str = MISSION, target_branch: str | None = None
) -> CommandResult:
    """Makes the next feature: SpecCreated, and `kitty-specs/<NNN-slug>/` on the present branch.

    The feature's packages begin at the target branch and are merged there; by default it is the
    present branch. Raises PlanningError for an empty title or a branch that is not there.
    """
    for word, text in (("title", title), ("mission", mission)):
        if not text.strip():
            raise PlanningError(
                "could not begin a feature",
                cause=f"its {word} is empty",
                hint='thence work setup-spec "Sync in the background"',
            )
    check_committer(session)
    branch = session.branch(target_branch)
    with held(session.shared_folder / PLANNING):
        session.look()
        branches = session.refs.branches if session.project.repo else ()
        known = [*session.board.features, *session.planning.slugs(), *branches]
        slug = new_slug(title, known)
        payload = {
            "feature_slug": slug,
            "title": title.strip(),
            "mission": mission,
            "target_branch": branch,
        }
        session.append(WorkEvent("SpecCreated", payload, slug))
        session.watch(branch)
        files = _files(session, slug, title.strip(), mission, branch)
        made = commit(session, files, f"Spec {slug}", "setup-spec", target=branch)
    spec = session.planning.path(slug, "spec.md")
    data = {
        "feature_slug": slug,
        "target_branch": branch,
        "spec": spec,
        "commit": made.oid if made else None,
    }
    lines = (
        f"feature {slug}, to be merged into {branch}",
        f"next: write {spec} and {session.planning.path(slug, 'tasks.md')}",
        f"then: thence work finalize-tasks --feature {slug}",
    )
    return session.result(data, lines)


def _files(session: Session, slug: str, title: str, mission: str, branch: str) -> dict[str, Splice]:
    meta = Meta(slug[:3], slug, title, mission, branch, now())
    made = {
        "spec.md": _SPEC.format(title=title).encode(),
        "plan.md": _PLAN.format(slug=slug).encode(),
        "meta.json": meta.as_bytes(),
    }
    return {session.planning.path(slug, name): if_missing(data) for name, data in made.items()}
