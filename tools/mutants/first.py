"""What every Python of .venv-mutants does first: see which thence it is to import.

The file is copied to where that Python finds it as its sitecustomize, so a process that a test
starts obeys as well. MUTANT_UNDER_TEST names a mutant: its module alone is imported from the copy
that mutmut made, all others as they are, for the copy of a module is a hundred times as long.
MUTANTS_ENTERED names a file: each function of thence that is entered is noted there.
"""

import contextlib
import importlib.machinery
import importlib.util
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, FrameType, ModuleType

ENTERED = "MUTANTS_ENTERED"
MUTANT = "MUTANT_UNDER_TEST"
FOLDER = "MUTANTS_FOLDER"


class OneModule:
    """Finds one module in the copy and leaves all others to others."""

    def __init__(self, name: str, copy: Path) -> None:
        self.name = name
        self.file = (copy / name.replace(".", "/")).with_suffix(".py")

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Answer the import system."""
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.file)


class Notes:
    """Appends to a file the name of each function of thence the first time it is entered."""

    def __init__(self, path: str, sources: Path) -> None:
        self.path = path
        self.sources = f"{sources}/"
        self.seen: dict[int, CodeType] = {}

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if event != "call" or id(code) in self.seen:
            return
        self.seen[id(code)] = code
        if not code.co_filename.startswith(f"{self.sources}thence/"):
            return
        module = code.co_filename.removeprefix(self.sources).removesuffix(".py").replace("/", ".")
        name = f"{module}:{code.co_qualname.split('.<locals>')[0]}\n"
        # a test may have taken all descriptors, or all room for files
        with contextlib.suppress(OSError):
            place = os.open(self.path, os.O_WRONLY | os.O_APPEND)
            os.write(place, name.encode())
            os.close(place)

    def begin(self) -> None:
        """Watch this thread, with all that start later."""
        threading.setprofile(self)
        sys.setprofile(self)


def obey(environment: dict[str, str]) -> None:
    """Do what the environment says."""
    folder = environment.get(FOLDER, "")
    mutant = environment.get(MUTANT, "")
    if folder and "__mutmut_" in mutant:
        module = mutant.rpartition(".")[0]
        sys.meta_path.insert(0, OneModule(module, Path(folder) / "mutants/src"))
    if folder and (path := environment.get(ENTERED)):
        Notes(path, Path(folder) / "src").begin()


if __name__ == "sitecustomize":
    obey(dict(os.environ))
