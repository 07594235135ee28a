"""The section of AGENTS.md that tells a coding agent how to use the board."""

from thence.errors import PlanningError

BEGIN = b"<!-- thence:begin -->"
END = b"<!-- thence:end -->"
_TEXT = """<!-- thence:begin -->
## How work is shared out here

Work is cut into packages (WP01, WP02, ...) that go through planned, doing, for_review and done.
What happens to them is told to a log that everybody shares, so use the commands below instead of
editing lanes or boxes by hand. Say who you are: once by `export THENCE_ACTOR=NAME`, or by
`--actor NAME` with each command. Each also takes `--json`, and `--help` tells the rest.

| to | do |
|---|---|
| see the board | `thence work status` |
| take the next package that is ready | `thence work next --json` |
| begin a package, in a worktree of its own | `thence work implement WP01` |
| tick a subtask | `thence work mark-status T001` |
| say what others should know | `thence work add-history WP01 "..."` |
| give a package back | `thence work release WP01` |
| hand a package over for review | `thence work move-task WP01 --to for_review` |
| ask for changes | `thence work move-task WP01 --to doing --reason "..."` |
| add a package | `thence work add "title" --owns PATH` |
| see why something is as it is | `thence why EVENT` |

- Work in the worktree of your package, and commit there before you hand it over.
- With several features name yours: `--feature 028-sync`.
- A refused command changes nothing, exits 1 and says which guard stopped it and what to do next.
  `thence work errors` shows the recent ones: read them before you try again.
- Somebody else was faster? Take the next package.
- What has to be done stands in `kitty-specs/<feature>/tasks/WP01-*.md`.
<!-- thence:end -->
"""


def with_section(data: bytes | None, file: str = "AGENTS.md") -> bytes:
    """Returns the file with the section as it is now: in its old place, else at the end.

    None stands for no file. All other bytes stay, and the file's line ends are taken over.
    Raises PlanningError where the markers are not one beginning and one end behind it.
    """
    data = data or b""
    begins, ends = data.count(BEGIN), data.count(END)
    start, end = data.find(BEGIN), data.find(END)
    if not begins and not ends:
        newline = _newline(data)
        gap = b"" if not data else newline if data.endswith(b"\n") else newline * 2
        return data + gap + _section(newline)
    if begins != 1 or ends != 1 or end < start:
        line = data.count(b"\n", 0, start if begins else end) + 1
        raise PlanningError(
            "could not renew the section",
            place=f"{file}:{line}",
            cause=f"there are {begins} of {BEGIN.decode()} and {ends} of {END.decode()}",
            hint="leave one pair of them, the beginning first, or none",
        )
    newline = _newline(data[start:])
    return data[:start] + _section(newline).removesuffix(newline) + data[end + len(END) :]


def _newline(data: bytes) -> bytes:
    """Returns the end of the first line."""
    return b"\r\n" if data[: data.find(b"\n") + 1].endswith(b"\r\n") else b"\n"


def _section(newline: bytes) -> bytes:
    return _TEXT.encode().replace(b"\n", newline)
