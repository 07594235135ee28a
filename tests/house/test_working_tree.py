"""Files of a working tree are reached by `git/files.py` alone, which follows no link.

Somebody else may have made them. What lies in the git folder is the user's own, and so is what is
reached under a name that these functions were given by it; each stands here with what it touches.
"""

import ast
from collections.abc import Iterator
from pathlib import Path, PurePath

from tests.house.tree import Module, modules, parsed

DOOR = "src/thence/git/files.py"
OS_CALLS = {
    *("access", "chmod", "exists", "fwalk", "isdir", "isfile", "islink", "lexists", "link"),
    *("listdir", "lstat", "makedirs", "mkdir", "open", "readlink", "remove", "rename", "replace"),
    *("rmdir", "scandir", "stat", "symlink", "truncate", "unlink", "utime", "walk"),
}
# what other objects have too, and what reaches no file
_NO_CALLS = {
    *("absolute", "copy", "cwd", "expanduser", "from_uri", "group", "home", "info", "move"),
    *("owner", "replace", "resolve", "walk"),
}
_OF_PATHS = {*dir(Path)} - {*dir(PurePath)} - _NO_CALLS
PATH_METHODS = {name for name in _OF_PATHS if not name.startswith("_")}
THE_LAYER = {"files", "_files", "_tree"}
_HOME = "the home, in the git folder"
_NOTES = "notes and locks in the git folder"
_GIT = "files of git, in the git folder"
# a module, or one function of a module that reaches working trees too, and whose files it reaches
OF_THE_USER = {
    "journal/claims.py": _HOME,
    "journal/store.py:write_clock": "the journal",
    "journal/store.py:show_index": "the index itself, in the home",
    "journal/day_files.py:load_seen": _HOME,
    "journal/day_files.py:save_seen": _HOME,
    "journal/store.py:EventStore.is_there": _HOME,
    "journal/redacted_views.py:_empty": "a file that the layer has opened",
    "journal/redacted_views.py:is_redacted": _HOME,
    "journal/shared_view.py:ViewChanges._read": "a file that the layer has opened",
    "journal/shared_view.py:_add": "a file that the layer has opened",
    "journal/shared_view.py:_load": _HOME,
    "journal/shared_view.py:forget": _HOME,
    "orchestrate/agent_process.py": _HOME,
    "orchestrate/package_task.py": _HOME,
    "project/project_id.py:random_id": _NOTES,
    "project/project.py:Project.is_begun": _HOME,
    "project/project.py:Project.shared_folder": _NOTES,
    "project/project.py:_project_in": "a home in the git folder",
    "project/project.py:_root_of": _GIT,
    "session/sharing.py:is_on_remote": _HOME,
    "session/sharing.py:set_private": _HOME,
    "session/package_code.py:_lacking": "a reflog, in the git folder",
    "cli/commands/work/looking.py:_feature_status": _GIT,
    "git/git.py": "the folder that git is run in",
    "git/landed.py:Memo._kept": _HOME,
    "git/locks.py": _NOTES,
    "git/repository.py": _GIT,
    "git/worktrees.py:_fill": _GIT,
    "git/worktrees.py:_is_free": "whether the folder above a worktree is there",
    "git/worktrees.py:_only_here": "names, by which no link is followed; a reflog",
    "git/worktrees.py:remove": "whether the folder of a worktree is there",
}


def touches(module: Module) -> Iterator[tuple[str, int, str]]:
    """Yield each call that reaches files: the function it stands in, its line, the call."""
    for name, node in _in_functions(module.syntax, ""):
        if isinstance(node.func, ast.Name):
            if node.func.id == "open":
                yield name, node.lineno, "open"
            continue
        if not isinstance(node.func, ast.Attribute):
            continue
        on, called = ast.unparse(node.func.value), node.func.attr
        is_layer = on.rpartition(".")[2] in THE_LAYER or on.startswith("TreeFiles(")
        is_path = called in PATH_METHODS and not is_layer
        is_os = on in {"os", "os.path"} and called in OS_CALLS
        is_given = called == "open" and node.args and ast.unparse(node.args[0]).isdigit()
        if (is_path and on != "os" and not is_given) or is_os or on == "shutil":
            yield name, node.lineno, f"{on}.{called}"


def _in_functions(node: ast.AST, name: str) -> Iterator[tuple[str, ast.Call]]:
    for child in ast.iter_child_nodes(node):
        inner = name
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            inner = f"{name}.{child.name}" if name else child.name
        if isinstance(child, ast.Call):
            yield inner, child
        yield from _in_functions(child, inner)


def past_the_layer(module: Module) -> dict[str, list[str]]:
    """Find the functions of `work` that reach files by themselves, with their calls."""
    found: dict[str, list[str]] = {}
    is_command = module.path.startswith("src/thence/cli/commands/work/")
    if (module.room in ("git", "work") or is_command) and module.path != DOOR:
        short = module.path.removeprefix("src/thence/").removeprefix("work/")
        for name, line, call in touches(module):
            found.setdefault(f"{short}:{name}", []).append(f"{call} in line {line}")
    return found


def test_nobody_reaches_files_of_a_working_tree_past_the_layer():
    found = {key: calls for each in modules("src") for key, calls in past_the_layer(each).items()}
    new = {
        key: calls
        for key, calls in found.items()
        if not {key, key.partition(":")[0]} & OF_THE_USER.keys()
    }
    assert not new, "\n".join(f"{key}: {', '.join(calls)}" for key, calls in new.items())
    seen = {part for key in found for part in (key, key.partition(":")[0])}
    assert not OF_THE_USER.keys() - seen, "what is let pass is there no more"


def test_every_way_past_the_layer_is_found():
    for text in (
        "open('a')",
        "def f(p):\n    p.read_bytes()",
        "class A:\n    def f(self):\n        (self.top / 'a').unlink()",
        "os.listdir('a')",
        "os.path.lexists(p)",
        "os.replace(a, b)",
        "shutil.copytree(a, b)",
        "with path.open('a') as file: pass",
        "TreeFiles",
    ):
        module = parsed("src/thence/work/a.py", text)
        assert bool(past_the_layer(module)) is (text != "TreeFiles"), text
        command = parsed("src/thence/cli/commands/work/a.py", text)
        assert bool(past_the_layer(command)) is (text != "TreeFiles"), text
        assert not past_the_layer(parsed("src/thence/cli/a.py", text))


def test_the_layer_itself_is_none():
    text = (
        "files.unlink('a')\nself._files.open('a', 0)\nTreeFiles(p).read('a')\nself._tree.replace(a)"
    )
    assert not past_the_layer(parsed("src/thence/work/a.py", text))
