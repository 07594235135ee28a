"""The commands of `thence work` that begin a project, a feature and its packages."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from stat import S_ISREG
from typing import Any
from uuid import uuid4

import click

from thence.cli import DAMAGED
from thence.cli.commands.work.command_runner import feature_option, session_command
from thence.cli.commands.work.moving import ready_packages
from thence.cli.output import current
from thence.core.sentences.events import counted
from thence.errors import PlanningError, Refused
from thence.git.commits import FileEdit, if_missing, write_files
from thence.git.locks import PLANNING, locked
from thence.git.repository import branch_of
from thence.log.open import new_id, now
from thence.work.board.state import FeatureState
from thence.work.day_lines import FOLDER, with_lines
from thence.work.journal.store import WorkEvent
from thence.work.names import branch_of as package_branch
from thence.work.names import (
    digits_of,
    is_wp_id,
    new_slug,
    next_wp_id,
    resolve,
    wp_id_of,
)
from thence.work.plan.package_files import (
    READ_FIRST,
    is_file_of,
    path_of,
    render,
    title_of,
)
from thence.work.plan.planning_files import Meta
from thence.work.plan.tasks import PlannedPackage, in_order, packages_of, parse
from thence.work.project.configuration import LANDS, PULL_REQUEST, Land
from thence.work.project.package_refs import plan_refs
from thence.work.project.project import KITTIFY
from thence.work.project.project_id import CONFIG, ids_in, with_another_id
from thence.work.session.command_commit import (
    check_committer,
    check_here,
    commit,
)
from thence.work.session.pull_requests import begin_plan, push_plan, reached, unpushed
from thence.work.session.session import CommandResult, Decision, Session
from thence.work.session.snapshot import Snapshot

BEGIN = b"<!-- thence:begin -->"
END = b"<!-- thence:end -->"
_INSTRUCTIONS = """<!-- thence:begin -->
## How work is shared out here

Work is split into packages (WP01, WP02, ...) that go through planned, doing, for_review and done.
A log shared by everyone records what happens to them, so use the commands below instead of
editing lanes or boxes by hand. Say who you are: once with `export THENCE_ACTOR=NAME`, or with
`--actor NAME` on each command. Each also takes `--json`, and `--help` shows the rest.

| to | do |
|---|---|
| see the board | `thence work status` |
| claim the next ready package, in its own worktree | `thence work implement --json` |
| take this one | `thence work implement WP01` |
| tick a subtask | `thence work mark-status T001` |
| say what others should know | `thence work add-history WP01 "..."` |
| give a package back | `thence work move-task WP01 --to planned` |
| hand a package over for review | `thence work move-task WP01 --to for_review` |
| ask for changes | `thence work move-task WP01 --to doing --reason "..."` |
| add a package | `thence work finalize-tasks --add "title"` |
| see why something is as it is | `thence why EVENT` |

- Work in the worktree of your package, and commit there before you hand it over.
- With several features name yours: `--feature 028-sync`.
- A refused command changes nothing, exits 1 and says which guard stopped it and what to do next.
  `thence work status --refused` shows the recent ones: read them before you try again.
- Someone else was faster? Claim the next package.
- The task of each package is in `kitty-specs/<feature>/tasks/WP01-*.md`.
<!-- thence:end -->
"""
_IGNORED = f"{KITTIFY}/.gitignore"
_IGNORED_TEXT = b"clock.json\nerrors/\nevents/index.db*\n"
_CONFIG_ATTRIBUTES = f"{KITTIFY}/.gitattributes"
_CONFIG_ATTRIBUTES_TEXT = b"config.yaml merge=union\n"
_AGENTS = "AGENTS.md"
_MISSION = "software-dev"
_SPEC = """# {title}

## What and why

## How it is accepted

"""
_PLAN = """# How {slug} is built

"""
_TASKS = """# Work packages of {slug}

<!-- A section for each package, like the two below, outside of this comment. Then type
thence work finalize-tasks --feature {slug}

## Work Package WP01: What it does

- [ ] T001 A step of it
- [ ] T002 Another one

## Work Package WP02: What comes after it

- [ ] T003 A step of it

### Dependencies
- Depends on WP01
-->
"""
_CREATION_TYPES = ("FeatureCreated", "WPCreated")
_WRITTEN = ("meta.json", "tasks.md", *READ_FIRST)
_NOT_A_SLUG = "the folder is not named like 028-sync or sync-01KVTVZS, in lower case"
_SHOWN_MAX = 5
_TRACKED = (
    f"git tracks files in {FOLDER}, to which thence appends: type git rm -r --cached {FOLDER},"
    " then commit that"
)
# the feature of packages that belong to none
_GENERAL = "000-general"
_GENERAL_TITLE = "General"
# a feature, its planned packages, and the events of their creation
_Recorded = tuple[FeatureState, Sequence[PlannedPackage], Sequence[WorkEvent]]


@click.argument("title", required=False)
@click.option(
    "--land",
    type=click.Choice(LANDS),
    help="How features land: by merges here, or by pull requests, for a protected branch.",
)
@click.option(
    "--target-branch",
    metavar="BRANCH",
    help="The branch for its packages; default: the one that is checked out.",
)
@click.option(
    "--new-id",
    "has_new_id",
    is_flag=True,
    help="Give the project a new id: the repository was created from a template.",
)
def setup_spec(
    session: Session,
    title: str | None = None,
    *,
    target_branch: str | None = None,
    land: Land | None = None,
    has_new_id: bool = False,
) -> CommandResult:
    """Begin a feature: its folder, its spec, the branch it goes to.

    The folder kitty-specs/NNN-title/ with spec.md, plan.md, tasks.md and meta.json is committed on
    the branch that is checked out. Write the spec, then tasks.md, then run finalize-tasks.

    The first one makes the repository a project, with instructions for coding agents: .kittify/ and
    a section of AGENTS.md. Without TITLE only these are created, and what is missing of them is
    added.

    With --land pull-request nothing is committed on a branch that accepts only pull requests: the
    folder is committed on plan/NNN-title, in its own worktree, and pushed. The choice holds
    for the project from then on; without TITLE it is all that the command sets.
    """
    if title is None and land is not None:
        return _switch(session, land)
    if title is None:
        if target_branch is not None:
            raise click.UsageError("--target-branch applies to a feature: name its TITLE")
        return _project_made(session, has_new_id=has_new_id)
    if has_new_id:
        raise click.UsageError("--new-id recreates the project: type it without TITLE first")
    title = title.strip()
    if not title:
        raise PlanningError(
            "could not begin a feature",
            cause="its title is empty",
            hint='thence work setup-spec "Sync in the background"',
        )
    check_committer(session)
    branch = branch_of(session.project.main) if target_branch is None else target_branch
    if target_branch is not None and branch not in session.refs.branches:
        cause = "the repository has no such branch"
        hint = "name one that is there (git branch --list), or create it first"
        raise PlanningError("could not find the branch", place=repr(branch), cause=cause, hint=hint)
    note = _choose_land(session, land)
    by_pull_request = session.planning.is_by_pull_request
    if by_pull_request:
        reached(session, branch)  # others may have taken a number meanwhile
    with locked(session.project.shared_folder / PLANNING):
        session.refresh()
        open_ones = (one for one in session.board.features.values() if not one.is_completed)
        same = [one.slug for one in open_ones if one.title == title]
        names = [*session.board.features, *session.planning.slugs(), *session.refs.branches]
        names += plan_refs(session.refs)
        slug = _unrecorded_spec(session, title, branch) or new_slug(title, names)
        payload = {"feature_slug": slug, "title": title, "mission": _MISSION}
        payload["target_branch"] = branch
        own = _files_of_first_use(session)
        session.append_or_warn(WorkEvent("SpecCreated", payload, slug))
        contents = {
            "spec.md": _SPEC.format(title=title).encode(),
            "plan.md": _PLAN.format(slug=slug).encode(),
            "tasks.md": _TASKS.format(slug=slug).encode(),
            "meta.json": Meta(slug[:3], slug, title, _MISSION, branch, now()).as_bytes(),
        }
        files = {
            session.planning.path(slug, name): if_missing(data) for name, data in contents.items()
        }
        if by_pull_request:
            begin_plan(session, slug, branch)
        committed = commit(session, own | files, f"Spec {slug}", "setup-spec", target=branch)
    pushed = push_plan(session, slug, branch)
    spec, tasks = (session.planning.shown(slug, name) for name in ("spec.md", "tasks.md"))
    data = {
        "feature_slug": slug,
        "target_branch": branch,
        "spec": spec,
        "commit": committed.oid if committed else None,
        **pushed.data,
    }
    lines = [
        f"feature {slug}, to be merged into {branch}",
        *(f"{one} has the same title" for one in same if one != slug),
        *note,
        f"write {spec} and {tasks}",
        *pushed.lines,
        f"next: thence work finalize-tasks --feature {slug}",
    ]
    return session.result(data, lines)


setup_spec_command = session_command(
    setup_spec, "setup-spec", 'thence work setup-spec "Sync in the background"'
)
create_feature_command = session_command(
    setup_spec, "create-feature", 'thence work create-feature "Sync in the background"'
)


def _project_made(session: Session, *, has_new_id: bool) -> CommandResult:
    """Makes the repository a project, without a feature."""
    if session.planning.is_by_pull_request:
        raise PlanningError(
            "could not commit the project's files",
            cause="features land by pull requests here: the first of them brings these files",
            hint='thence work setup-spec "what the feature is"',
        )
    project_uuid, files = _project_files(session, has_new_id=has_new_id)
    branch = branch_of(session.project.main)
    committed = commit(session, files, "Make this repository a thence project", "setup-spec")
    data = {
        "project_uuid": project_uuid,
        "branch": branch,
        "journal": str(session.project.home),
        "commit": committed.oid if committed else None,
    }
    lines = [f"project {project_uuid}"]
    if committed is not None:
        lines.append(f"committed {', '.join(committed.paths)} on {branch}")
    elif not session.warnings:
        lines.append("all of it was there already")
    lines.append('next: thence work setup-spec "what the feature is"')
    return session.result(data, lines)


def _files_of_first_use(session: Session) -> dict[str, FileEdit]:
    """Returns the edits of the project's own files; none if the branch here has the project.

    Raises PlanningError if AGENTS.md can't get its section.
    """
    config = session.project.main.git.ask("cat-file", "blob", f"HEAD:{CONFIG}")
    if config.status == 0 and ids_in(config.out, session.project.root / CONFIG):
        return {}
    with suppress(FileNotFoundError):
        with_section(session.project.files.read(_AGENTS))
    return _project_files(session)[1]


def _project_files(
    session: Session, *, has_new_id: bool = False
) -> tuple[str, dict[str, FileEdit]]:
    """Returns the project's id, and the edits of its own files."""
    files: dict[str, FileEdit] = {
        _CONFIG_ATTRIBUTES: lambda data: with_lines(data, _CONFIG_ATTRIBUTES_TEXT),
        _IGNORED: lambda data: with_lines(data, _IGNORED_TEXT),
        _AGENTS: with_section,
    }
    if not has_new_id:
        return session.project.uuid, files
    project_uuid = str(uuid4())
    return project_uuid, {**files, CONFIG: partial(with_another_id, uuid=project_uuid)}


def with_section(data: bytes | None, file: str = "AGENTS.md") -> bytes:
    """Returns the file with the current section: in its old position, else at the end.

    None stands for no file. All other bytes stay, and the section gets the file's line ends.
    Raises PlanningError unless the markers are one beginning and one end behind it.
    """
    data = data or b""
    begins, ends = data.count(BEGIN), data.count(END)
    start, end = data.find(BEGIN), data.find(END)
    first_line = data[max(start, 0) :].partition(b"\n")[0]
    newline = b"\r\n" if first_line.endswith(b"\r") else b"\n"
    section = _INSTRUCTIONS.encode().replace(b"\n", newline)
    if not begins and not ends:
        gap = newline if data.endswith(b"\n") else newline * 2
        return data + gap + section if data else section
    if begins != 1 or ends != 1 or end < start:
        line = data.count(b"\n", 0, start if begins else end) + 1
        raise PlanningError(
            "could not renew the section",
            place=f"{file}:{line}",
            cause=f"there are {begins} of {BEGIN.decode()} and {ends} of {END.decode()}",
            hint="leave one pair of them, the beginning first, or none",
        )
    return data[:start] + section.removesuffix(newline) + data[end + len(END) :]


def _choose_land(session: Session, land: Land | None) -> list[str]:
    """Sets how the project's features land; returns the line that says so, at its first feature.

    A person is asked where there is a remote.
    """
    planning = session.planning
    if land is None and planning.land is None and not planning.slugs():
        is_shared = bool(session.project.repo.git.run("remote"))
        if is_shared and sys.stdin.isatty() and sys.stderr.isatty() and not current().is_json:
            question = "How do branches land: merge (here, then pushed) or pull-request"
            land = click.prompt(question, type=click.Choice(LANDS), default=LANDS[0], err=True)
        elif is_shared:
            return ["packages land by merge; behind a protected branch: --land pull-request"]
    if land is not None:
        session.plan(chosen_land=land)
        return [f"packages land by {land}"]
    return []


def _switch(session: Session, land: Land) -> CommandResult:
    """Sets how features land. What a protected target refuses goes to plan branches."""
    session.refresh()
    session.plan(chosen_land=land)
    lines = [f"packages land by {land}"]
    features = [one for one in session.board.features.values() if not one.is_completed]
    if land == PULL_REQUEST and not features:
        raise PlanningError(
            "could not set how features land",
            cause="there is no open feature, whose plan branch would bring the setting",
            hint=f"thence work setup-spec TITLE --land {land}",
        )
    if land != PULL_REQUEST:
        commit(session, {}, f"Land by {land}", "setup-spec")
        return session.result({"land": land}, lines)
    for feature in features:
        target = session.snapshot.target_of(feature)
        begin_plan(session, feature.slug, target)
        commit(session, {}, f"Land by {land}", "setup-spec", target=target)
        lines += push_plan(session, feature.slug, target).lines
        lines += unpushed(session.snapshot, feature.slug, target)
    return session.result({"land": land}, dict.fromkeys(lines))


def _unrecorded_spec(session: Session, title: str, branch: str) -> str | None:
    """Returns the feature that an earlier run began while the log could not be written, if any.

    It has this title and target, and neither events nor packages.
    """
    for slug in session.snapshot.not_imported():
        meta = session.planning.meta(None, slug)
        is_same = meta and (meta.friendly_name, meta.target_branch) == (title, branch)
        if is_same and not session.planning.names(None, session.planning.path(slug, "tasks")):
            return slug
    return None


@click.option("--add", "title", metavar="TITLE", help="Add one package that has no section.")
@click.option(
    "--after", multiple=True, metavar="WP", help="With --add: a package that it depends on."
)
@feature_option
def finalize_tasks(
    session: Session,
    feature: str | None = None,
    *,
    title: str | None = None,
    after: Sequence[str] = (),
) -> CommandResult:
    """Create work packages from the plan in tasks.md.

    \b
    The plan has a section for each package:
      ## Work Package WP01: The queue
      - [ ] T001 A step of it
      ## Work Package WP02: The sender
      - [ ] T002 A step of it
      ### Dependencies
      - Depends on WP01

    Each package gets a file in tasks/, and is planned on the board. All planning files
    of the feature are committed on the branch that is checked out. Run again, it adds new packages.

    A package added with --add goes to --feature, by default to 000-general, which is created
    at first use.

    Features that were planned before there was a log, such as those of spec-kitty, are adopted as
    they are: with packages, lanes and ticks, without a history. Parts that it can't read are named;
    the exit code is 3 then.
    """
    if title is not None:
        return add(session, title, after=after, feature=feature)
    if after:
        raise click.UsageError("--after applies to a package that --add adds")
    session.refresh()
    slugs = session.snapshot.not_imported()
    if feature is not None:
        slugs = [
            slug for slug in slugs if slug == resolve(feature, [*session.board.features, *slugs])
        ]
    folders = [] if feature is not None else session.planning.other_folders()
    if slugs:
        return _adopt(session, slugs, folders)

    def plan() -> tuple[FeatureState, Sequence[PlannedPackage]]:
        state = session.feature(feature)
        _check_plan(session, state)
        path = session.planning.path(state.slug, "tasks.md")
        data = session.planning.read(None, path)
        if data is None:
            raise PlanningError(
                "could not read",
                place=path,
                cause="there is no such file",
                hint="write it: a heading `## Work Package WP01: Title` for each package",
            )
        return state, packages_of(data, path)

    state, packages, events = _recorded(session, plan)
    files = _files_of_plan(session, state.slug, packages)
    data, steps = _committed(session, state, packages, files, f"Packages of {state.slug}")
    data["packages"] = [package.wp_id for package in packages]
    new = sum(one.event_type == "WPCreated" for one in events)
    lines = [f"feature {state.slug}: {counted(len(packages), 'package')}, {new} of them new"]
    for package in packages:
        needs = f", after {', '.join(package.dependencies)}" if package.dependencies else ""
        lines.append(f"  {package.wp_id}  {package.title}{needs}")
    return session.result(data, [*lines, *steps])


finalize_tasks_command = session_command(
    finalize_tasks,
    "finalize-tasks",
    "thence work finalize-tasks --feature 001",
    'thence work finalize-tasks --add "Read the spec again" --after WP01',
)


def _adopt(session: Session, slugs: Sequence[str], folders: Sequence[str]) -> CommandResult:
    """Adopts features; `folders` are those whose names no feature can have."""
    from thence.work.session.adoption import Unread, adopt  # needed once in a project's life

    counts, unread = adopt(session, slugs)
    unread += [Unread(session.planning.path(name), 0, _NOT_A_SLUG) for name in folders]
    if session.project.main.git.run("ls-files", "-z", "--", f"{FOLDER}/"):
        session.warnings.append(_TRACKED)
    data = {"adopted": counts, "unread": [part._asdict() for part in unread]}
    lines = [f"{slug}: adopted, {counted(count, 'package')}" for slug, count in counts.items()]
    if len(lines) > _SHOWN_MAX:
        lines = [f"adopted {len(counts):,} features, {sum(counts.values()):,} packages"]
    lines += [
        f"not read: {part.file}{f':{part.line}' if part.line else ''}: {part.reason}"
        for part in unread[:_SHOWN_MAX]
    ]
    if len(unread) > _SHOWN_MAX:
        lines.append(f"not read: {len(unread) - _SHOWN_MAX:,} parts more; --json names them")
    lines.append("next: thence work status")
    return session.result(data, lines, DAMAGED if unread else 0)


def _check_plan(session: Session, state: FeatureState) -> None:
    """Raises PlanningError if the feature's planning files can't be written where they belong."""
    branch = session.snapshot.target_of(state)
    if session.planning.is_by_pull_request:
        begin_plan(session, state.slug, branch)
    check_here(session.snapshot, state, branch)


def _recorded(
    session: Session, plan: Callable[[], tuple[FeatureState, Sequence[PlannedPackage]]]
) -> _Recorded:
    """Appends the creation of planned packages, under ids that nobody else takes meanwhile.

    `plan` returns the feature and its packages on the present board.
    """

    def decide(_: Snapshot) -> Decision[_Recorded]:
        state, packages = plan()  # which may begin a plan branch, and read again
        snapshot = session.snapshot
        events = _creation_events(state, snapshot.target_of(state), packages)
        names = (state.slug, *(package.wp_id for package in packages))
        subjects = {session.store.subject(state.slug, name) for name in names}
        guard = snapshot.guard(subjects, _CREATION_TYPES)
        return Decision(events, guard, (state, packages, events))

    session.refresh()
    operation, place = "could not create the packages of", session.feature_slug or _GENERAL
    state, packages, events = session.run(decide, operation, place, needs_log=False)
    lost = [(wp_id, one) for wp_id, keeper in state.packages.items() for one in keeper.lost]
    for wp_id, one in lost:
        before = package_branch(state.slug, wp_id)
        for package in packages:
            if package.title != one.title or package.wp_id == wp_id:
                continue
            files = [path for path, _ in session.planning.package_files(None, state.slug)]
            for path in (path for path in files if is_file_of(wp_id, path)):
                data = session.planning.read(None, path) or b""
                if title_of(data, path) == package.title:
                    data = data.replace(wp_id.encode(), package.wp_id.encode())
                    to = path.replace(f"/{wp_id}", f"/{package.wp_id}")
                    write_files(session.planning.repository, {to: if_missing(data)})
                    session.planning.files.unlink(path)
            if events and not one.is_added and before in session.refs.branches:
                after = package_branch(state.slug, package.wp_id)
                session.warnings.append(
                    f"if {before} has the code of {package.wp_id}, type git branch -m {before}"
                    f" {after}, and git worktree move .worktrees/{before} .worktrees/{after}"
                )
    return state, packages, events


def _creation_events(
    state: FeatureState, branch: str, packages: Sequence[PlannedPackage]
) -> list[WorkEvent]:
    """Returns a FeatureCreated and WPCreateds for the packages that the board lacks."""
    events = []
    created = state.created_event
    if created is None:
        payload: dict[str, Any] = {
            "feature_slug": state.slug,
            "feature_number": digits_of(state.slug),
            "target_branch": branch,
            "wp_count": len(packages),
        }
        causes = (state.spec_event,) if state.spec_event else ()
        created = new_id()
        events.append(WorkEvent("FeatureCreated", payload, state.slug, causes, event_id=created))
    creations = {wp_id: package.events_of("package") for wp_id, package in state.packages.items()}
    for package in packages:
        if package.wp_id in state.packages:
            continue
        needs = [
            event_id for wp_id in package.dependencies for event_id in creations.get(wp_id, ())
        ]
        payload = {
            "wp_id": package.wp_id,
            "title": package.title,
            "feature_slug": state.slug,
            "dependencies": list(package.dependencies),
        }
        events.append(WorkEvent("WPCreated", payload, state.slug, (created, *needs)))
        creations[package.wp_id] = (events[-1].event_id,)
    return events


def _committed(
    session: Session,
    state: FeatureState,
    packages: Sequence[PlannedPackage],
    files: Mapping[str, FileEdit],
    subject: str,
) -> tuple[dict[str, Any], list[str]]:
    """Commits planning files of packages; returns members of the JSON, and the last lines."""
    branch = session.snapshot.target_of(state)
    committed = commit(session, files, subject, "finalize-tasks", target=branch)
    pushed = push_plan(session, state.slug, branch)
    data = {
        "feature_slug": state.slug,
        "target_branch": branch,
        "commit": committed.oid if committed else None,
        **pushed.data,
    }
    session.refresh()
    features = filter(None, (session.board.features.get(state.slug),))
    can_begin = {package.wp_id for _, package in ready_packages(session, [*features], {})}
    first = next((one.wp_id for one in in_order(packages) if one.wp_id in can_begin), None)
    step = f"implement {first} --feature {state.slug}" if first else "status"
    return data, [*pushed.lines, f"next: thence work {step}"]


def _files_of_plan(
    session: Session, slug: str, packages: Sequence[PlannedPackage]
) -> dict[str, FileEdit]:
    """Returns the files to commit: planning files as they are, missing files of packages.

    Planning files are the usual ones of a feature, and its other documents.
    """
    folder, tree = session.planning.path(slug), session.planning.files
    out = session.planning.repository.git.run(
        "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", folder
    )
    others = [
        path
        for path in os.fsdecode(out).split("\0")[:-1]
        if path.endswith(".md") or path.startswith(f"{folder}/contracts/")
    ]
    usual = [f"{folder}/{name}" for name in _WRITTEN]
    stats = ((path, tree.look(path)) for path in dict.fromkeys((*usual, *others)))
    written = [path for path, stat in stats if stat is not None and S_ISREG(stat.st_mode)]
    files: dict[str, FileEdit] = dict.fromkeys(written, lambda data: data)
    tasks = session.planning.path(slug, "tasks.md")
    listed = (session.planning.path(slug, name) for name in READ_FIRST)
    reading = [
        name for name in listed if any(f"{path}/".startswith(f"{name}/") for path in written)
    ]
    package_files = [path for path, _ in session.planning.package_files(None, slug)]
    for package in packages:
        own_files = [path for path in package_files if is_file_of(package.wp_id, path)]
        files |= dict.fromkeys(own_files, lambda data: data)
        if not own_files:
            path = session.planning.path(slug, path_of(package))
            files[path] = if_missing(render(package, slug, tasks, reading))
    return files


def add(
    session: Session,
    title: str,
    *,
    after: Sequence[str] = (),
    feature: str | None = None,
) -> CommandResult:
    """Adds a package without a section in tasks.md."""
    title = " ".join(title.split())
    if not title:
        raise PlanningError(
            "could not add a package",
            cause="its title is empty",
            hint='thence work finalize-tasks --add "what is to be done"',
        )
    check_committer(session)

    def plan() -> tuple[FeatureState, Sequence[PlannedPackage]]:
        features = session.board.features
        named = feature or session.planning.feature_here()
        open_ones = [s for s, one in features.items() if s != _GENERAL and not one.is_completed]
        if feature or named in features or len(open_ones) == 1:
            state = session.feature(named or open_ones[0])
        else:
            state = features.get(_GENERAL) or FeatureState(
                project_uuid=session.project.uuid, slug=_GENERAL, title=_GENERAL_TITLE
            )
        _check_plan(session, state)
        tasks = session.planning.read(None, session.planning.path(state.slug, "tasks.md"))
        numbers = {*state.packages, *(one.wp_id for one in parse(tasks or b"", "").packages)}
        unrecorded = ""  # what an earlier run added while the log could not be written
        for path, _ in session.planning.package_files(None, state.slug):
            number = path.rpartition("/")[2].partition("-")[0].removesuffix(".md")
            numbers.add(number)
            if number not in state.packages and is_wp_id(number):
                data = session.planning.read(None, path) or b""
                is_same = title_of(data, path) == title
                unrecorded = unrecorded or (number if is_same else "")
        needed = tuple(map(wp_id_of, after))
        for wp_id in needed:
            if wp_id not in numbers:
                raise Refused(
                    "could not add a package after",
                    guard="unknown_package",
                    place=f"{state.slug}/{wp_id}",
                    cause=f"the feature has {', '.join(sorted(numbers)) or 'none yet'}",
                    hint="look at `thence work status`",
                )
        wp_id = unrecorded or next_wp_id(numbers)
        return state, [PlannedPackage(wp_id, title, dependencies=needed)]

    state, (package,), _ = _recorded(session, plan)
    # tasks.md stays as it is, so that two clones that both add never meet in one file
    path = session.planning.path(state.slug, path_of(package))
    files = {path: if_missing(render(package, state.slug))}
    if state.slug == _GENERAL:  # the same bytes in every clone: no time of its beginning
        branch = session.snapshot.target_of(state)
        meta = Meta(_GENERAL[:3], _GENERAL, _GENERAL_TITLE, _MISSION, branch)
        files[session.planning.path(_GENERAL, "meta.json")] = if_missing(meta.as_bytes())
    message = f"Add {package.wp_id}: {title}"
    data, steps = _committed(session, state, [package], files, message)
    data |= {"wp_id": package.wp_id, "title": title}
    return session.result(data, [f"{package.wp_id} of {state.slug}: {title}", *steps])
