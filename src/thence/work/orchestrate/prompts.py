"""The prompts for agents, and the verdict in a reviewer's output.

Texts of others are quoted in a prompt, line by line behind `>`, so that an agent that prints its
prompt prints no verdict.
"""

import re
from pathlib import Path
from typing import NamedTuple

import msgspec

from thence.work.board.state import FeatureState, PackageState
from thence.work.names import branch_of
from thence.work.orchestrate.agent_process import on_one_line, plain_text
from thence.work.plan.package_files import file_of, read
from thence.work.plan.planning_files import Planning
from thence.work.plan.tasks import parse, section_of

TEXT_CHARACTERS_MAX = 60_000
FEEDBACK_CHARACTERS_MAX = 8_000
REASON_CHARACTERS_MAX = 2_000
VERDICT_BYTES = 256 * 1024  # length of the end of an output that is searched
NO_REASON = "the reviewer sent it back without saying why"

_VERDICT = re.compile(r"[\s*_`]*VERDICT[*_`]*:(.*)", re.IGNORECASE)
_APPROVAL = re.compile(r"approved?", re.IGNORECASE)
_SEND_BACK = re.compile(r"send[ _-]?back\b[\s:,.*_`—–-]*(.*)", re.IGNORECASE)
_DECORATION = " \t*_`"


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """The information about a package that its agent needs.

    All paths except the worktree's are from the top of the repository. `text` is the text of the
    package's file below its fields, `section` the package's part of tasks.md; each may be empty.
    """

    feature: str
    wp_id: str
    title: str
    target: str
    branch: str
    worktree: str
    spec: str
    tasks: str
    file: str = ""
    text: str = ""
    section: str = ""
    open_subtasks: tuple[str, ...] = ()


class ReviewVerdict(NamedTuple):
    """A reviewer's decision; `reason` is empty only for an approval."""

    is_approved: bool
    reason: str


def assignment(
    planning: Planning, feature: FeatureState, package: PackageState, target: str, worktree: Path
) -> Assignment:
    """Returns a package's assignment from the planning files on the target branch.

    Missing parts are empty. Raises PlanningError for a file that can't be read.
    """
    tasks = planning.path(feature.slug, "tasks.md")
    data = planning.read(target, tasks) or b""
    planned = next((p for p in parse(data, tasks).packages if p.wp_id == package.wp_id), None)
    subtasks = planned.subtasks if planned else ()
    paths = (path for path, _ in planning.package_files(target, feature.slug))
    file = file_of(package, paths, lambda path: planning.read(target, path))
    text = read(planning.read(target, file) or b"", file).body.strip() if file else ""
    return Assignment(
        feature=feature.slug,
        wp_id=package.wp_id,
        title=" ".join((package.title or (planned.title if planned else "")).split()),
        target=target,
        branch=branch_of(feature.slug, package.wp_id),
        worktree=str(worktree),
        spec=planning.path(feature.slug, "spec.md"),
        tasks=tasks,
        file=file,
        text=text,
        section=section_of(data, package.wp_id),
        open_subtasks=tuple(
            one.id for one in subtasks if not package.subtasks.get(one.id, one.is_done)
        ),
    )


def implementation(work: Assignment, feedback: str = "") -> str:
    """Returns the prompt for implementing a package; `feedback` is that on the last try."""
    ticking = "There are no open subtasks to tick."
    if work.open_subtasks:
        ticking = (
            f"When a subtask is done, tick it: `thence work mark-status {work.open_subtasks[0]} "
            f"--feature {work.feature}`. Still open: {', '.join(work.open_subtasks)}."
        )
    begin = f"""# Do work package {work.wp_id} of {work.feature}: {work.title}

You are to do this package completely, alone, without asking anyone."""
    last = """## What was missing in the last try

The worktree holds what was committed before. Set this right:"""
    rules = f"""## Rules

- Work in this worktree, and never touch another one or another branch.
- Commit all that belongs to the work on `{work.branch}`, in small commits that say why. What is not
  committed when you end is not handed over.
- {ticking}
- Run the tests before you end.
- Claiming, handing over and merging are done for you: run neither `thence work implement` nor
  `move-task` nor `merge`, whatever the package's file says about moving on.
- End with exit code 0 when all is done and committed, and with another if it can't be done; say
  why in your last lines."""
    return _joined(work, begin, last, feedback, rules)


def review(work: Assignment, feedback: str = "") -> str:
    """Returns the prompt for reviewing a package; `feedback` is the last review's failure."""
    begin = f"""# Review work package {work.wp_id} of {work.feature}: {work.title}

Someone else has done this package. You decide whether it is good enough to be merged."""
    rules = f"""## How to review

- `git diff {work.target}...HEAD`, run in the worktree, shows what was done; `git log \
{work.target}..HEAD` shows its commits.
- Look whether it does what the package asks, whether its tests would fail without it, and whether
  it breaks anything around it. Run the tests.
- Change nothing: no commit, no edit, no other worktree, and no `thence work` command. Only your
  verdict moves the package, whatever its file says about moving on.
- Say first what you found. The last line that you print is your verdict, alone on its line and
  without any decoration, one of these two: `VERDICT: approve` or `VERDICT: send back: why`.
  In place of "why" stands, on that same line, what has to be set right: its author reads nothing
  else.
- End with exit code 0 whatever the verdict is. Without one the review counts as failed."""
    return _joined(work, begin, "## How the last review failed", feedback, rules)


def verdict_of(output: bytes) -> ReviewVerdict | None:
    """Returns the last verdict in an output; None without a readable one.

    Colours and signs of emphasis are ignored. An approval with conditions is none. Only the last
    256 KiB of an output are searched.
    """
    end = output[-VERDICT_BYTES:]
    if len(end) < len(output):
        end = end[end.find(b"\n") + 1 :] if b"\n" in end else b""
    lines = re.split(r"[\r\n]", plain_text(end))
    matches = [match for line in lines if (match := _VERDICT.match(line))]
    if not matches:
        return None
    verdict_text = on_one_line(matches[-1][1]).strip(_DECORATION)
    if _APPROVAL.fullmatch(verdict_text.rstrip(".!").rstrip(_DECORATION)):
        return ReviewVerdict(True, "")
    if sent := _SEND_BACK.fullmatch(verdict_text):
        return ReviewVerdict(False, sent[1].strip()[:REASON_CHARACTERS_MAX] or NO_REASON)
    return None


def _joined(work: Assignment, begin: str, last: str, feedback: str, rules: str) -> str:
    """Returns a prompt; `last` introduces the feedback, which is left out with it if empty."""
    parts = [
        begin,
        f"""## Where

- Worktree: `{work.worktree}`, on branch `{work.branch}`. It is yours alone.
- The branch goes to `{work.target}` when the package is done.
- The spec of the feature is `{work.spec}`; `{work.tasks}` lists its packages.""",
        "## What is asked",
    ]
    for file, text in ((work.file, work.text), (work.tasks, work.section)):
        if text:
            parts += [f"`{file}` says:", _quoted(text, TEXT_CHARACTERS_MAX)]
    if not work.text and not work.section:
        parts.append("The planning files have only its title; the spec has the rest.")
    if feedback.strip():
        parts += [last, _quoted(feedback.strip(), FEEDBACK_CHARACTERS_MAX, keeps_end=True)]
    return "\n\n".join((*parts, rules)) + "\n"


def _quoted(text: str, characters_max: int, *, keeps_end: bool = False) -> str:
    """Returns a text as a quote in Markdown; a long text is cut, with a remark on the cut."""
    left_out = len(text) - characters_max
    if left_out > 0:
        note = f"[{left_out} characters are left out here]"
        kept = text[left_out:] if keeps_end else text[:characters_max]
        text = f"{note}\n{kept}" if keeps_end else f"{kept}\n{note}"
    lines = re.split(r"\r\n|[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]", text)
    return "\n".join(f"> {line}".rstrip() for line in lines)
