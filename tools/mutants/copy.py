"""The mutated copy of the sources, which mutmut makes in mutants/.

All mutants of a module stand in one file, beside the original; MUTANT_UNDER_TEST in the
environment says which one a process runs. No Python of .venv-mutants imports thence from a wheel,
for there is none; first.py says how the processes that tests start find the mutant. Properties,
functions with decorators and code at the level of the module are not mutated; mutmut can't.
"""

import contextlib
import io
import os
import shutil
import site
import sys
from dataclasses import dataclass
from pathlib import Path

from mutmut.__main__ import copy_src_dir, create_mutants
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.utils.format_utils import orig_function_and_class_names_from_key
from tools.mutants.first import FOLDER

ROOT = Path(__file__).resolve().parents[2]
COPY = ROOT / "mutants"
COMMAND = f"""\
#!{sys.executable}
import sys
from thence.cli.main import main
sys.exit(main())
"""


@dataclass(frozen=True)
class Mutant:
    """One altered function: its name in mutmut's words, the module it belongs to."""

    name: str
    module: str

    @property
    def function(self) -> str:
        """The function's name, as first.py notes it."""
        function, holder = orig_function_and_class_names_from_key(self.name)
        module = self.name.rpartition(".")[0]
        return f"{module}:{holder}.{function}" if holder else f"{module}:{function}"

    @property
    def diff(self) -> str:
        """What was altered."""
        return str(get_diff_for_mutant(self.name, path=f"src/thence/{self.module}.py"))


def make(workers: int) -> None:
    """Bring the copy up to date with the sources, then have this environment import it."""
    for old in sorted((COPY / "src").rglob("*.py")):
        if not (ROOT / old.relative_to(COPY)).exists():
            old.unlink()
    COPY.mkdir(exist_ok=True)
    with contextlib.redirect_stdout(io.StringIO()):
        copy_src_dir()
        create_mutants(workers)
    shutil.copytree(ROOT / "scenarios", COPY / "src/thence/scenarios", dirs_exist_ok=True)


def prepare() -> None:
    """Have each Python of this environment find thence, its command, what it does first."""
    (place,) = (Path(name) for name in site.getsitepackages())
    (place / "thence.pth").write_text(f"{ROOT / 'src'}\n")
    shutil.copy(Path(__file__).with_name("first.py"), place / "sitecustomize.py")
    command = Path(sys.executable).parent / "thence"
    command.write_text(COMMAND)
    command.chmod(0o755)
    os.environ[FOLDER] = str(ROOT)
    sys.path.append(str(ROOT / "src"))


def import_from(sources: Path) -> None:
    """Have this process import all of thence from the copy, or from the sources as they are."""
    sys.path.insert(0, str(sources))
    import thence

    if not Path(thence.__file__).is_relative_to(sources):
        raise SystemExit(f"thence was imported from {thence.__file__}, not from {sources}")


def mutants_of(chosen: str) -> list[Mutant]:
    """List the mutants of a room (core) or a module (core/codec), in the order of the sources."""
    found = []
    for path in sorted(walk_mutatable_files()):
        module = str(path.relative_to("src/thence").with_suffix(""))
        if module == chosen or module.startswith(f"{chosen}/"):
            names = verdicts_of(module).exit_code_by_key
            found += [Mutant(name, module) for name in names]
    return found


def verdicts_of(module: str) -> SourceFileMutationData:
    """Load what mutmut keeps of a module's mutants: an exit code for each, None if not run."""
    data = SourceFileMutationData(path=Path(f"src/thence/{module}.py"))
    data.load()
    return data
