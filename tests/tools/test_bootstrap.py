"""The set-up says plainly what it lacks, and knows when nothing needs to be done."""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tools import bootstrap

DOOR = bootstrap.ROOT / "tools" / "bootstrap.sh"


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A small tree that the bootstrap takes for its own."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("a = 1\n")
    (tmp_path / "requirements.lock").write_text("click==1\n")
    venv = tmp_path / ".venv"
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "VENV", venv)
    monkeypatch.setattr(bootstrap, "LOCK", tmp_path / "requirements.lock")
    return tmp_path


@pytest.fixture
def shelf(tree, monkeypatch):
    """The only place that pip looks at, whatever else this machine asks of it."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tree / "shelf"))
    (tree / "shelf").mkdir()
    return tree / "shelf"


@pytest.fixture
def lock(tree, shelf, monkeypatch):
    """The lock of the tree, installed into a folder by the pip of this environment."""
    monkeypatch.setattr(bootstrap, "VENV_PYTHON", Path(sys.executable))
    monkeypatch.setenv("PIP_TARGET", str(tree / "into"))
    return bootstrap.LOCK


def copy_files(tree: Path, *names: str) -> None:
    for name in names:
        (tree / name).parent.mkdir(exist_ok=True)
        shutil.copy(DOOR.parents[1] / name, tree / name)


def write_wheel(folder: Path, name: str) -> str:
    """Write the wheel of a module, and return the line of a lock that pins it."""
    wheel, info = folder / f"{name}-1-py3-none-any.whl", f"{name}-1.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}==1 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


def write_program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_python_that_is_too_old_is_refused_in_three_lines(tmp_path):
    old = write_program(tmp_path / "python", '[ "$1" = --version ] && echo Python 3.9.1 || exit 1')
    asked = subprocess.run(
        ["sh", DOOR], env={**os.environ, "PYTHON": str(old)}, capture_output=True, text=True
    )
    assert asked.returncode == 1
    what, why, hint = asked.stderr.splitlines()
    assert what == "set-up failed: no Python of 3.11 or later was found"
    assert "Python 3.9.1" in why
    assert "install Python 3.11" in hint


def test_shim_of_a_missing_python_is_passed_over(tmp_path):
    write_program(tmp_path / "python3", "exit 127")
    write_program(tmp_path / "python3.14", 'test "$1" = -c || echo "took $0"')
    places = f"{tmp_path}:{os.environ['PATH']}"
    env = {key: value for key, value in os.environ.items() if key != "PYTHON"}
    asked = subprocess.run(
        ["sh", DOOR], env={**env, "PATH": places}, capture_output=True, text=True
    )
    assert asked.stdout == f"took {tmp_path}/python3.14\n"


def test_wheel_is_known_by_content_and_not_by_time(tree):
    before = bootstrap.wheel_key()
    os.utime(tree / "src" / "a.py", (1, 1))
    (tree / "src" / "__pycache__").mkdir()
    (tree / "src" / "__pycache__" / "a.pyc").write_text("x")
    (tree / "notes.txt").write_text("x")
    assert bootstrap.wheel_key() == before
    for name in ("src/b.py", "scenarios/trade.yaml", "pyproject.toml"):
        (tree / name).parent.mkdir(exist_ok=True)
        (tree / name).write_text("x")
        assert bootstrap.wheel_key() != before, name
        (tree / name).unlink()


def test_environment_is_known_by_lock_and_place(tree, monkeypatch):
    before = bootstrap.environment_key()
    monkeypatch.setattr(bootstrap, "VENV", tree / "moved" / ".venv")
    assert bootstrap.environment_key() != before
    monkeypatch.undo()
    assert bootstrap.environment_key() != before


def test_stamp_that_is_missing_differs_from_every_key(tmp_path):
    stamp = tmp_path / "wheel.stamp"
    assert bootstrap.read_stamp(stamp) == ""
    bootstrap.write_stamp(stamp, "key")
    assert bootstrap.read_stamp(stamp) == "key"
    assert [path.name for path in tmp_path.iterdir()] == ["wheel.stamp"]


@pytest.mark.parametrize(
    ("talk", "cause"),
    [
        ("Read timed out.\nERROR: No matching distribution found for a==8", "can't reach"),
        ("Error: [Errno 13] Permission denied: '/a/.venv'", "Permission denied: '/a/.venv'"),
        ("running\nerror: no space left\nbye", "error: no space left"),
        ("ERROR: these have no pin:\n   a>=1\nbye", "ERROR: these have no pin: a>=1"),
        ("it broke\nWARNING: Location 'error' is ignored", "it broke"),
        ("", "it said nothing"),
    ],
)
def test_talk_of_a_failed_command_becomes_a_cause(talk, cause):
    why, _ = bootstrap.cause_and_hint(talk) or (bootstrap.telling_line(talk), "")
    assert cause in why


def test_failed_command_says_what_why_and_next():
    with pytest.raises(bootstrap.SetUpError, match="it could not be done") as caught:
        bootstrap.run(
            [sys.executable, "-c", "raise SystemExit('error: it broke')"], "it could not be done"
        )
    what, why, hint = caught.value.lines
    assert what == "set-up failed: it could not be done"
    assert why == "  why:  error: it broke"
    assert hint.startswith("  next: run it by hand: ")


def why_refused(lock: Path) -> str:
    with pytest.raises(bootstrap.SetUpError) as caught:
        bootstrap.install_lock(lock)
    return caught.value.lines[1]


def test_package_that_no_index_has_is_named(lock):
    assert "has click==1 for this Python" in why_refused(lock)


def test_index_that_gives_no_answer_is_told(lock, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_RETRIES", "1")
    assert why_refused(lock).endswith("can't reach a package index: Connection refused")


def test_wheel_with_another_hash_is_named_and_not_installed(lock, shelf, tree):
    lock.write_text(write_wheel(shelf, "thing")[:-8] + "0" * 7 + "\n")
    assert "thing==1 differs" in why_refused(lock)
    assert not (tree / "into").exists()


def test_lock_counts_for_more_than_the_machines_constraints(lock, shelf, tree, monkeypatch):
    lock.write_text(write_wheel(shelf, "thing"))
    (tree / "constraints").write_text("thing>=2\n")
    monkeypatch.setenv("PIP_CONSTRAINT", str(tree / "constraints"))
    bootstrap.install_lock(lock)
    assert (tree / "into" / "thing.py").exists()


def test_broken_environment_is_told(lock, tree, monkeypatch):
    monkeypatch.setattr(bootstrap, "VENV_PYTHON", tree / ".venv" / "bin" / "python")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tree / ".venv"], check=True)
    assert ".venv is broken: it lacks pip" in why_refused(lock)
    bootstrap.VENV_PYTHON.unlink()
    bootstrap.VENV_PYTHON.write_text("x")
    assert "Permission denied" in why_refused(lock)


def test_environment_stays_where_a_new_one_cannot_be_made(lock, tree, monkeypatch):
    bootstrap.VENV.mkdir()
    (bootstrap.VENV / "thence").write_text("works")
    monkeypatch.setattr(bootstrap, "make_environment", bootstrap.VENV.mkdir)
    with pytest.raises(bootstrap.SetUpError):
        bootstrap.set_up([])
    assert [path.name for path in tree.glob(".venv*/*")] == ["thence"]


def test_file_that_cannot_be_used_is_told_in_three_lines(tree, monkeypatch, capsys):
    monkeypatch.setattr(bootstrap, "LOCK", tree)
    assert bootstrap.main() == 1
    _, why, _ = capsys.readouterr().err.splitlines()
    assert "Is a directory" in why


@pytest.mark.whole(alone=True)
def test_dev_lock_is_added_to_the_first_and_what_it_named_goes_with_it(tree, shelf):
    """The whole set-up, in a small tree that builds itself."""
    copy_files(tree, "tools/bootstrap.sh", "tools/bootstrap.py")
    table = "requires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
    (tree / "pyproject.toml").write_text(f"[build-system]\n{table}")
    copy = f"os.path.basename(shutil.copy('{shelf}/own-1-py3-none-any.whl', folder))"
    backend = f"import os, shutil\ndef build_wheel(folder, *_):\n    return {copy}\n"
    (tree / "backend.py").write_text(backend)
    write_wheel(shelf, "own")
    (tree / "requirements.lock").write_text(write_wheel(shelf, "needed"))
    (tree / "requirements-dev.lock").write_text(write_wheel(shelf, "checker"))

    def set_up(*arguments: str) -> set[str]:
        command = ["sh", tree / "tools" / "bootstrap.sh", *arguments]
        subprocess.run(command, env={**os.environ, "PYTHON": sys.executable}, check=True)
        (place,) = (tree / ".venv").glob("lib/python*/site-packages")
        return {path.stem for path in place.glob("*.py")} & {"own", "needed", "checker", "linter"}

    assert set_up() == {"own", "needed"}
    assert set_up("dev") == {"own", "needed", "checker"}
    stat = (tree / ".venv" / "environment.stamp").stat()
    (tree / "requirements-dev.lock").write_text(write_wheel(shelf, "linter"))
    assert set_up() == {"own", "needed", "checker"}
    assert (tree / ".venv" / "environment.stamp").stat() == stat
    assert set_up("dev") == {"own", "needed", "linter"}


# what the first release of a Python brought
OLDEST_PIPS = {(3, 11): "pip==22.3", (3, 12): "pip==23.2.1", (3, 13): "pip==24.2"}


@pytest.mark.parametrize("pip", [OLDEST_PIPS.get(sys.version_info[:2], "pip"), "pip"])
@pytest.mark.whole(alone=True)
def test_oldest_and_newest_pip_set_up_from_the_lock(tmp_path, monkeypatch, pip):
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(bootstrap, "VENV_PYTHON", tmp_path / ".venv" / "bin" / "python")
    bootstrap.make_environment()
    bootstrap.pip("install", "--upgrade", pip)
    monkeypatch.setenv("PIP_COMPILE", "0")  # most of what is installed is never imported here
    bootstrap.install_lock(bootstrap.LOCK)
    bootstrap.install_wheel()
    subprocess.run([tmp_path / ".venv" / "bin" / "thence", "--version"], check=True)
    subprocess.run([bootstrap.VENV_PYTHON, "-m", "pip", "check"], check=True)


def test_tests_on_a_stale_wheel_are_refused(tree):
    """In a small tree, whose environment borrows pytest from ours."""
    copy_files(tree, "tools/bootstrap.py", "tests/conftest.py", "tests/tiers.py", "pyproject.toml")
    (tree / "tests" / "test_a.py").write_text("def test_a(): ...\n")
    venv = tree / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    (place,) = venv.glob("lib/python*/site-packages")
    (place / "borrowed.pth").write_text(f"{Path(pytest.__file__).parent.parent}\n")
    command = [venv / "bin" / "python", "-m", "pytest", "tests/test_a.py"]
    bootstrap.write_stamp(venv / "wheel.stamp", bootstrap.wheel_key())
    subprocess.run(command, cwd=tree, check=True)
    (tree / "src" / "a.py").write_text("raise SystemError\n")
    refused = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert refused.returncode == pytest.ExitCode.USAGE_ERROR
    assert "next: make setup, then the same again" in refused.stderr


def test_set_up_and_a_command_that_it_left_behind_keep_the_lock(tree):
    descriptor = os.open(tree, os.O_RDONLY)
    try:
        with bootstrap.alone_in_tree():
            command = subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1, close_fds=False)
            assert not bootstrap.try_lock(descriptor)
        assert not bootstrap.try_lock(descriptor)
        command.communicate(b"\n")
        assert bootstrap.try_lock(descriptor)
    finally:
        os.close(descriptor)
