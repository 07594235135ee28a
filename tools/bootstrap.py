"""Makes the environment in .venv that the Makefile's targets run in.

It installs what requirements.lock names, hashes required (with `dev` and `ray`, what
requirements-dev.lock and requirements-ray.lock name too), then builds the wheel of this tree and
installs that wheel, so that tests see what a user gets. Stamps inside .venv say what it was made
from: a run that finds them true does nothing, and a run that was cut short left no true one, so the
next one repairs it. Two runs at once wait for each other. It imports the standard library alone,
and it never writes outside .venv, except that it installs Debian's python3-venv where that is
missing and it may (root, apt-get at hand).
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
LOCK = ROOT / "requirements.lock"
ENVIRONMENT_STAMP = VENV / "environment.stamp"
UNFINISHED = "unfinished"
WHEEL_STAMP = VENV / "wheel.stamp"
WHEEL_INPUTS = (
    "src",
    "scenarios",
    "examples",
    "docs",
    "pyproject.toml",
    "tools/hatch_build.py",
    "README.md",
    "LICENSE",
)
WAIT_FOR_OTHER_S_MAX = 900
WAIT_STEP_S = 0.1
# the lock is the whole truth, whatever else this machine asks of its pip
PIP_SETTINGS = {"PIP_CONSTRAINT": os.devnull, "PIP_USER": "0"}
TALK_LINES_MAX = 20
REMAKE = "rm -rf .venv, then the same again"
OWN_FOLDER = "make the folder yours (chown), or clone into one that is"
# a sign in what a command said, why it failed by that sign, what to do next
CAUSES = (
    (
        r"DO NOT MATCH THE HASHES[^\n]*\n\s*(\S+)",
        "{} differs from what the lock says it is",
        "ask another index (PIP_INDEX_URL); make lock, if you know that the new one is meant",
    ),
    (r"No module named '?((?:pip|encodings)\b[\w.]*)", ".venv is broken: it lacks {}", REMAKE),
    (r"\[Errno (?:13|30)\] ([^\n]+)", "this user can't write there: {}", OWN_FOLDER),
    (
        r"(?:Retry\(total=0,|Could not fetch URL|timed out)(?:[^\n]*\] ([^'\")(\n]+))?",
        "pip can't reach a package index: {}",
        "check the network, or point pip at an index you can reach (PIP_INDEX_URL)",
    ),
    (
        r"No matching distribution found for (\S+)",
        "no package index that pip reaches has {} for this Python and system",
        "check the network, or point pip at an index that has it (PIP_INDEX_URL)",
    ),
)


class SetUpError(Exception):
    """What failed, why, and what to do next."""

    def __init__(self, what: str, why: str, hint: str) -> None:
        super().__init__(what)
        self.lines = (f"set-up failed: {what}", f"  why:  {why}", f"  next: {hint}")


def main() -> int:
    """Set up the environment; the exit status is 0 when it is ready."""
    try:
        with alone_in_tree():
            set_up(sys.argv[1:])
    except (SetUpError, OSError) as error:
        unusable = SetUpError("a file can't be used", str(error), OWN_FOLDER)
        lines = error.lines if isinstance(error, SetUpError) else unusable.lines
        print(*lines, sep="\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        say("set-up interrupted; the next run finishes it")
        return 130
    return 0


def set_up(further: list[str]) -> None:
    """Bring .venv up to date with the locks, `further` ones by their names, then with the tree."""
    environment = environment_key()
    wanted = {name: digest((ROOT / f"requirements-{name}.lock").read_bytes()) for name in further}
    stamps = {name: VENV / f"{name}.stamp" for name in further}
    is_outdated = any(read_stamp(stamps[name]) not in ("", wanted[name]) for name in further)
    if is_outdated or read_stamp(ENVIRONMENT_STAMP) != environment or not VENV_PYTHON.exists():
        with former_kept():
            make_environment()
            install_lock(LOCK)
        write_stamp(ENVIRONMENT_STAMP, environment)
    for name, key in wanted.items():
        if read_stamp(stamps[name]) != key:
            write_stamp(stamps[name], UNFINISHED)
            install_lock(ROOT / f"requirements-{name}.lock")
            write_stamp(stamps[name], key)
    wheel = wheel_key()
    if read_stamp(WHEEL_STAMP) != wheel:
        WHEEL_STAMP.unlink(missing_ok=True)
        install_wheel()
        write_stamp(WHEEL_STAMP, wheel)


@contextlib.contextmanager
def alone_in_tree() -> Iterator[None]:
    """Hold a lock on the tree's folder, so that no lock file needs to be kept or cleaned.

    The commands we run inherit the descriptor: if this process is killed alone, a pip that goes
    on writing into .venv still holds the lock, and the next run waits for it.
    """
    descriptor = os.open(ROOT, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    try:
        deadline_s = time.monotonic() + WAIT_FOR_OTHER_S_MAX
        told = False
        while not try_lock(descriptor):
            if not told:
                say("another set-up is running in this tree; waiting for it")
                told = True
            if time.monotonic() > deadline_s:
                raise SetUpError(
                    "another set-up holds this tree",
                    f"waited {WAIT_FOR_OTHER_S_MAX} s for it to end",
                    "end the other run of make, then run this one again",
                )
            time.sleep(WAIT_STEP_S)
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Take the lock if nobody holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def environment_key() -> str:
    """Name what the environment is made from: the lock, this Python, this place."""
    facts = (sys.version, sys.base_prefix, str(VENV))
    return digest("\n".join(facts).encode() + LOCK.read_bytes())


def has_stale_wheel() -> bool:
    """Tell whether this Python is that of .venv, and its wheel not built from these sources."""
    is_ours = VENV.exists() and VENV.samefile(sys.prefix)
    return is_ours and read_stamp(WHEEL_STAMP) != wheel_key()


def wheel_key() -> str:
    """Name what the wheel is made from, by content; a touched file changes nothing."""
    inputs = sorted(wheel_inputs())
    named = [f"{path.relative_to(ROOT)} {digest(path.read_bytes())}" for path in inputs]
    return digest("\n".join(named).encode())


def wheel_inputs() -> Iterator[Path]:
    """Find the files that can end up in the wheel."""
    for name in WHEEL_INPUTS:
        path = ROOT / name
        if path.is_file():
            yield path
        for file in path.rglob("*"):
            if file.is_file() and "__pycache__" not in file.parts:
                yield file


@contextlib.contextmanager
def former_kept() -> Iterator[None]:
    """Move .venv aside for a new one: what an older lock named must not stay behind.

    If the new one can't be made, as without a network, the former takes its place again.
    """
    former = VENV.with_name(".venv-former")
    shutil.rmtree(former, ignore_errors=True)
    if VENV.exists():
        VENV.rename(former)
    try:
        yield
    except BaseException:
        if former.exists():
            shutil.rmtree(VENV, ignore_errors=True)
            former.rename(VENV)
        raise
    shutil.rmtree(former, ignore_errors=True)


def make_environment() -> None:
    """Make .venv, which is not there, with no package but pip."""
    say(f"making .venv with Python {sys.version.split()[0]} (10 to 30 s)")
    ensure_venv_module()
    run([base_python(), "-m", "venv", str(VENV)], "the environment could not be made")


def install_lock(lock: Path) -> None:
    """Install what a lock names and nothing else, for no resolver runs.

    Python compiles what is imported, when it is: to compile all of it takes pip as long again.
    """
    pip("install", "--no-compile", "--no-deps", "--require-hashes", "--requirement", str(lock))


def install_wheel() -> None:
    """Build the wheel of this tree with the locked backend, then install it."""
    wheels = VENV / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(wheels), str(ROOT))
    (wheel,) = wheels.glob("*.whl")
    pip("install", "--no-deps", "--no-index", "--force-reinstall", str(wheel))


def ensure_venv_module() -> None:
    """Check that this Python can make environments; Debian ships that part apart."""
    if can_make_environments():
        return
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
    may_install = os.geteuid() == 0 and shutil.which("apt-get") and is_debian_python()
    if may_install:
        say(f"installing {package}, which this Python lacks")
        run(["apt-get", "update", "-qq"], "the list of system packages could not be renewed")
        install = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", package]
        run(install, f"{package} could not be installed")
    if not can_make_environments():
        raise SetUpError(
            "this Python can't make environments",
            f"{base_python()} lacks the module venv or ensurepip",
            f"as root: apt-get install {package}; or name another: make PYTHON=... test",
        )


def can_make_environments() -> bool:
    """Ask in a new process, for what was just installed is not seen in this one."""
    asked = [base_python(), "-c", "import venv, ensurepip"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def is_debian_python() -> bool:
    """Tell the system's Python, which apt-get can complete, from one built by hand."""
    return sys.base_prefix == "/usr" and Path("/etc/debian_version").exists()


def base_python() -> str:
    """Name the Python under a virtual environment, for that one may be .venv itself."""
    return str(getattr(sys, "_base_executable", sys.executable))


def pip(*arguments: str) -> None:
    """Run the environment's pip; its talk is shown only when it fails."""
    quiet = ["--quiet", "--disable-pip-version-check", "--no-input"]
    command = [str(VENV_PYTHON), "-m", "pip", arguments[0], *quiet, *arguments[1:]]
    run(command, f"pip {arguments[0]} did not succeed")


def run(command: list[str], what: str) -> None:
    """Run a command to its end and turn its failure into one of ours."""
    by_hand = "run it by hand: " + " ".join(command)
    try:
        ended = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ | PIP_SETTINGS,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            close_fds=False,
        )
    except OSError as error:
        hint = REMAKE if command[0] == str(VENV_PYTHON) else by_hand
        raise SetUpError(what, str(error), hint) from error
    if ended.returncode == 0:
        return
    talk = (ended.stderr + ended.stdout).strip()
    if cause := cause_and_hint(talk):
        raise SetUpError(what, *cause)
    if "\n" in talk:
        print(*talk.splitlines()[-TALK_LINES_MAX:], sep="\n", file=sys.stderr)
    raise SetUpError(what, telling_line(talk), by_hand)


def cause_and_hint(talk: str) -> tuple[str, str] | None:
    """Conclude from a command's talk why it failed, with a next step, if it has a known sign."""
    for sign, why, hint in CAUSES:
        if match := re.search(sign, talk):
            return why.format(match[1] or "it gave no answer"), hint
    return None


def telling_line(talk: str) -> str:
    """Choose the line that says most of a failure; what follows a colon belongs to it."""
    lines = [line.strip() for line in talk.splitlines() if not line.startswith("WARNING: ")]
    errors = [index for index, line in enumerate(lines) if "error" in line.lower()]
    if not errors:
        return (lines or ["it said nothing"])[-1]
    return " ".join(lines[errors[-1] :][: 2 if lines[errors[-1]].endswith(":") else 1])


def read_stamp(path: Path) -> str:
    """Read a stamp; none is as good as a wrong one."""
    return path.read_text() if path.is_file() else ""


def write_stamp(path: Path, key: str) -> None:
    """Write a stamp whole or not at all."""
    new = path.with_suffix(".new")
    new.write_text(key)
    new.replace(path)


def digest(data: bytes) -> str:
    """Name bytes by their SHA-256."""
    return hashlib.sha256(data).hexdigest()


def say(text: str) -> None:
    """Tell the person at the terminal."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
