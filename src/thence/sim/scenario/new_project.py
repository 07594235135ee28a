"""The folder of a new simulation: agents who give each other money, ready to be changed."""

import re
import shutil
from importlib.resources import files
from pathlib import Path

from thence.errors import ThenceError

FILES = ("README.md", "agents.py", "engine.py", "scenario.yaml", "test_scenario.py")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,99}")
_PLACEHOLDER = "PROJECT_NAME"


def is_project_name(name: str) -> bool:
    """Reports whether a name can be that of a folder and of a scenario."""
    return bool(_NAME.fullmatch(name))


def make_project(folder: Path) -> None:
    """Makes a folder with a small simulation that is named after it.

    Raises ThenceError if something of this name is there already, which stays as it is, or if
    the disk refuses, and then leaves nothing behind.
    """
    template = files("thence.sim.scenario") / "project_template"
    try:
        folder.mkdir()
        for name in FILES:
            text = (template / f"{name}.txt").read_text(encoding="utf-8")
            text = text.replace(_PLACEHOLDER, folder.name)
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        cause: object = error.strerror or error
        hint = "check the folder's permissions and the room on the disk"
        if isinstance(error, FileExistsError):
            cause, hint = "it is there already", "give another name, or remove what is there"
        else:
            shutil.rmtree(folder, ignore_errors=True)
        what = "could not make the project"
        raise ThenceError(what, place=folder, cause=cause, hint=hint) from error
