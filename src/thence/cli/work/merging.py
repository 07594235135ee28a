"""The commands of `thence work` by which the code of packages gets into its target."""

from collections.abc import Iterator
from typing import NamedTuple

import click

from thence.cli.work.command_runner import (
    command,
    feature_option,
    force_option,
    local_option,
    reason_option,
    run,
)
from thence.errors import GitFailed, Refused
from thence.work.board.move_attempt import CodeState
from thence.work.board.state import DONE, FeatureState, PackageState
from thence.work.journal.claims import claimed
from thence.work.journal.store import WorkEvent
from thence.work.naming import branch_of, worktree_of
from thence.work.result import CommandResult
from thence.work.session.package_code import code_of_packages
from thence.work.session.package_refs import forget_refs, target_in
from thence.work.session.session import Session
from thence.work.vcs.landed import landing_of
from thence.work.vcs.refs import Refs
from thence.work.vcs.repository import HEADS, checkouts, is_ancestor
from thence.work.vcs.worktrees import removable, remove


def _leaves_nothing_open(_: click.Context, option: click.Parameter, is_given: bool) -> bool:
    """Refuses an option of the version before this one."""
    if is_given:
        raise click.UsageError(
            f"--{option.name} is gone, for a conflict leaves nothing open: merge the target into"
            " the package's branch in its worktree, resolve it there, then merge again"
        )
    return is_given


@command("merge", "thence work merge --feature 001 --dry-run")
@click.argument("packages", metavar="[WP]...", nargs=-1)
@click.option("--dry-run", "is_dry", is_flag=True, help="Show what would be merged.")
@click.option("--resume", is_flag=True, hidden=True, callback=_leaves_nothing_open)
@click.option("--abort", is_flag=True, hidden=True, callback=_leaves_nothing_open)
@feature_option
@force_option
@reason_option
def merge_command(
    packages: tuple[str, ...],
    is_dry: bool,
    feature: str | None,
    is_forced: bool,
    reason: str | None,
    resume: bool,
    abort: bool,
) -> int:
    """Merge the branches of packages into their feature's target branch.

    Without packages it takes all that are in doing or for_review. All are looked at before the
    first is merged, in the order in which they depend on each other.
    """
    from thence.work.commands.merge import merge

    return run(
        lambda session: merge(
            session,
            packages,
            feature=feature,
            reason=reason or "",
            is_forced=is_forced,
            is_dry=is_dry,
        ),
        entity=packages[0] if packages else "",
    )


@command("accept", "thence work accept --feature 001")
@click.argument("packages", metavar="[WP]...", nargs=-1)
@click.option(
    "--landed", metavar="COMMIT", help="The commit of the target that merged the package."
)
@click.option("--no-code", metavar="REASON", help="The package has no code, for this reason.")
@local_option
@feature_option
@force_option
@reason_option
def accept_command(
    packages: tuple[str, ...],
    landed: str | None,
    no_code: str | None,
    is_local: bool,
    feature: str | None,
    is_forced: bool,
    reason: str | None,
) -> int:
    """Move what is reviewed and merged to done.

    Without packages it looks at all that are in review. Each needs its gates passed, what it
    depends on done, and its code in the target branch: merged, squashed or rebased, and pushed
    where that branch has an upstream.
    """
    from thence.work.commands.accept import accept

    return run(
        lambda session: accept(
            session,
            packages,
            feature=feature,
            reason=reason or "",
            is_forced=is_forced,
            is_local=is_local,
            landed=landed,
            no_code=no_code,
        )
    )


@command("prune", "thence work prune --dry-run")
@feature_option
@click.option("--dry-run", "is_dry", is_flag=True, help="Only show what would go, and what stays.")
@click.option(
    "--refs", "takes_refs", is_flag=True, help="Take away too what keeps the commits reviewed."
)
def prune_command(
    feature: str | None,
    is_dry: bool,
    takes_refs: bool,
) -> int:
    """Remove worktrees and branches of packages whose code has landed.

    Nothing goes that is not committed or has not landed; what stays is reported with the reason.
    Ignored files go with the worktree's folder.
    """
    return run(lambda session: _prune(session, feature, is_dry=is_dry, takes_refs=takes_refs))


_Landed = dict[tuple[str, str], CodeState]


class _LocalPackage(NamedTuple):
    """A package that has a branch or a worktree in this clone."""

    feature: FeatureState
    package: PackageState
    branch: str
    worktree: str
    tip: str | None


def _prune(
    session: Session, feature: str | None, *, is_dry: bool, takes_refs: bool
) -> CommandResult:
    """Removes worktrees and branches of packages that are done and whose code has landed.

    Worktrees with uncommitted changes and branches that have not landed stay, and are reported with
    the reason. With `is_dry` nothing is removed, and the result lists what would be. The refs that
    keep the reviewed commits are removed with `takes_refs` alone. Raises Refused for a feature that
    is not there, GitFailed.
    """
    board = session.look()
    slugs = [session.feature(feature).slug] if feature else list(board.features)
    landed = code_of_packages(session, board.features.values())
    refs = session.refs
    pruned: list[_LocalPackage] = []
    kept: list[tuple[_LocalPackage, str]] = []
    for local in _local_packages(session, [board.features[slug] for slug in slugs], refs):
        try:
            _remove(session, local, refs, landed, is_dry=is_dry)
        except (GitFailed, Refused) as error:
            kept.append((local, error.cause or error.message))
            continue
        pruned.append(local)
        if takes_refs and not is_dry:
            forget_refs(session.repo, refs, local.feature.slug, local.package.wp_id)
    data = {
        "pruned": [_as_json(each) for each in pruned],
        "kept": [{**_as_json(each), "reason": why} for each, why in kept],
        "dry_run": is_dry,
    }
    verb = "would go" if is_dry else "are gone"
    lines = [f"{_name(each)}: its worktree and branch {verb}" for each in pruned]
    lines += [f"{_name(each)} stays: {why}" for each, why in kept]
    return session.result(data, lines or ["no package has a branch or worktree here"])


def _local_packages(
    session: Session, features: list[FeatureState], refs: Refs
) -> Iterator[_LocalPackage]:
    standing = {each.path.name for each in checkouts(session.repo) if not each.is_main}
    for feature in features:
        for package in feature.packages.values():
            branch = branch_of(feature.slug, package.wp_id)
            worktree = worktree_of(feature.slug, package.wp_id)
            tip = refs.commits.get(HEADS + branch)
            if tip is not None or worktree.rpartition("/")[2] in standing:
                yield _LocalPackage(feature, package, branch, worktree, tip)


def _remove(
    session: Session, local: _LocalPackage, refs: Refs, landed: _Landed, *, is_dry: bool
) -> None:
    """Removes a package's worktree and branch; raises Refused or GitFailed if they have to stay."""
    package, path = local.package, session.project.root / local.worktree
    if package.lane != DONE:
        raise _refusal(local, f"it is in {package.lane}")
    if path == session.project.here:
        raise _refusal(local, "this command was given in its worktree")
    code = landed.get((local.feature.slug, package.wp_id))
    if code is None or code.kind != "landed":
        state = "merged here and not pushed" if code and code.kind == "local" else "not landed"
        raise _refusal(local, f"it is done, and {state}; see `thence work status`")
    into = _holder(session, local, refs)
    repo = session.main
    with claimed(session.project.home, package.subject):
        if is_dry:
            removable(repo, local.branch, path, into)
            return
        if package.landed is None and code.landed is not None:
            session.append(_landing(local, code))  # without the branch it may not be found again
        remove(repo, local.branch, path, into)


def _holder(session: Session, local: _LocalPackage, refs: Refs) -> str:
    """Returns a commit that contains the branch, and that is in the target or has landed there."""
    target = target_in(refs, session.target_of(local.feature))
    reviewed = local.package.reviewed
    if target.tip is not None:
        if local.tip is None or is_ancestor(session.repo, local.tip, target.tip):
            return target.tip
        is_known = reviewed is not None and reviewed.commit == local.tip and reviewed.base
        if reviewed is not None and is_known and landing_of(session.repo, target.tip, reviewed):
            return reviewed.commit
    raise _refusal(local, f"{local.branch} has commits that are not in {target.name}")


def _landing(local: _LocalPackage, code: CodeState) -> WorkEvent:
    assert code.landed is not None, "it has landed"
    payload = {"wp_id": local.package.wp_id, "how": code.landed.how}
    if code.landed.commit:
        payload["commit"] = code.landed.commit
    return WorkEvent("WPLanded", payload, local.feature.slug, local.package.events_of("lane"))


def _refusal(local: _LocalPackage, why: str) -> Refused:
    hint = "thence work status"
    return Refused("could not prune", guard="kept", place=_name(local), cause=why, hint=hint)


def _name(local: _LocalPackage) -> str:
    return f"{local.package.wp_id} of {local.feature.slug}"


def _as_json(local: _LocalPackage) -> dict[str, str]:
    return {
        "feature_slug": local.feature.slug,
        "wp_id": local.package.wp_id,
        "branch": local.branch,
        "worktree": local.worktree,
    }
