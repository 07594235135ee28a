"""The first thing that a Python of .venv-mutants does: find the one altered module."""

import subprocess
import sys
from pathlib import Path

import pytest
from tools.mutants import first

ROOT = Path(first.__file__).resolve().parents[2]


@pytest.fixture
def tree(tmp_path):
    """A tree whose package has an altered copy of each of its two modules."""
    for place, value in (("src", 1), ("mutants/src", 2)):
        package = tmp_path / place / "thence"
        package.mkdir(parents=True)
        for name in ("__init__", "one", "other"):
            (package / f"{name}.py").write_text(
                f"VALUE = {value}\n\ndef told():\n    return VALUE\n"
            )
    return tmp_path


def ran(tree: Path, **extra: str) -> str:
    """Run a program that obeys the environment, then tells what the modules hold."""
    code = (
        f"import sys; sys.path[:0] = [{str(tree / 'src')!r}, {str(ROOT)!r}]\n"
        "from tools.mutants import first\n"
        f"first.obey({ {first.FOLDER: str(tree), **extra}!r})\n"
        "from thence import one, other\n"
        "print(one.told(), other.told())\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_module_of_the_mutant_alone_comes_from_the_copy(tree):
    assert ran(tree, MUTANT_UNDER_TEST="thence.one.x_told__mutmut_1") == "2 1"
    assert ran(tree, MUTANT_UNDER_TEST="") == "1 1"


def test_functions_that_a_process_enters_are_noted(tree):
    page = tree / "entered"
    page.write_text("")
    assert ran(tree, MUTANTS_ENTERED=str(page)) == "1 1"
    assert {"thence.one:told", "thence.other:told"} <= set(page.read_text().split())
