"""The options of a project, in `.kittify/config.yaml`.

Other tools keep keys of their own in that file; only those named here are read, and the file is
parsed only if it holds one of them.
"""

import re

import msgspec

from thence.errors import PlanningError
from thence.git.files import TreeFiles
from thence.work.project.project import Project
from thence.work.project.project_id import BOARD_BRANCH, CONFIG
from thence.work.project.yaml_nodes import Node, YamlFile

_DOING = "could not read the project's configuration in"
_KEYS = re.compile(rb"^(?:board|rules|worktree)[ \t]*:", re.MULTILINE)
_TRUTHS = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}
_NAME = re.compile(
    r"(?![-/.])(?!.*(?:\.\.|//|@\{|\.lock$|[/.]$))[^\s~^:?*\[\\\x00-\x1f\x7f]{1,200}"
)


class ProjectOptions(msgspec.Struct, frozen=True):
    """The options of a project.

    `board_remote` is the remote that has the board's branch, None for the target's upstream or
    origin. With `author_may_approve` False nobody moves to done what they implemented.
    `worktree_setup` are the commands that run in a new worktree.
    """

    board_remote: str | None = None
    board_branch: str = BOARD_BRANCH
    author_may_approve: bool = True
    worktree_setup: tuple[tuple[str, ...], ...] = ()


def read_options(project: Project) -> ProjectOptions:
    """Returns a project's options; raises PlanningError with the position of each fault."""
    data = configuration(project)
    return options_of(data, CONFIG) if data is not None else ProjectOptions()


def options_of(data: bytes, file: str) -> ProjectOptions:
    """Reads a configuration; `file` is its name in faults. Raises PlanningError."""
    if _KEYS.search(data) is None:
        return ProjectOptions()
    yaml = YamlFile(data, file, _DOING)
    pairs = yaml.pairs(yaml.root, "the file")
    board = yaml.fields(pairs.get("board"), "board", ("remote", "branch"))
    rules = yaml.fields(pairs.get("rules"), "rules", ("author_may_approve",))
    worktree = yaml.fields(pairs.get("worktree"), "worktree", ("setup",))
    options = ProjectOptions(
        board_remote=_name(yaml, board["remote"], "remote") if "remote" in board else None,
        board_branch=(
            _name(yaml, board["branch"], "branch") if "branch" in board else BOARD_BRANCH
        ),
        author_may_approve=(
            "author_may_approve" not in rules
            or _truth(yaml, rules["author_may_approve"], "author_may_approve")
        ),
        worktree_setup=_commands(yaml, worktree["setup"]) if "setup" in worktree else (),
    )
    yaml.refuse()
    return options


def configuration(project: Project) -> bytes | None:
    """Returns the bytes of a project's configuration, None without one; raises PlanningError."""
    for root in dict.fromkeys((project.root, project.here)):
        try:
            return TreeFiles(root).read(CONFIG)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            cause = error.strerror or error
            raise PlanningError(
                "could not read", place=root / CONFIG, cause=cause, hint="look at the path"
            ) from error
    return None


def _truth(yaml: YamlFile, node: Node, what: str) -> bool:
    text = yaml.text(node, what).lower()
    if text not in _TRUTHS:
        yaml.report(node, f"{what} is {text!r:.80}", "write on or off")
    return _TRUTHS.get(text, False)


def _commands(yaml: YamlFile, node: Node) -> tuple[tuple[str, ...], ...]:
    commands: list[tuple[str, ...]] = []
    for item in yaml.items(node, "setup"):
        parts = item.value if item.id == "sequence" else ()
        commands.append(tuple(yaml.text(part, "a part of the command") for part in parts))
        if not (commands[-1] and commands[-1][0]):
            yaml.report(item, "a command of setup is not a list", "write [[npm, ci], [make, env]]")
    return tuple(commands)


def _name(yaml: YamlFile, node: Node, what: str) -> str:
    text = yaml.text(node, what)
    if not _NAME.fullmatch(text):
        yaml.report(node, f"{text!r:.80} is not a name of a {what}", "write a name that git takes")
    return text
