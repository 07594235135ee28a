"""Builds a release of HEAD into dist/, checks it, tries it, and uploads nothing.

`make release` runs it. Two exports of HEAD are built; the second wheel is built from the second
sdist, so that equal bytes also show that the sdist holds all that the wheel needs.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from email.message import Message
from email.parser import BytesParser
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
TWINE = ROOT / ".venv-release" / "bin" / "twine"
RESERVED = "//example.org/"
STEP_S_MAX = 600
FIRST_STEPS = """
import thence
with thence.open("orders") as log:
    placed = log.append("order.placed", {"amount": 3}, subject="order/881", actor="shop")
    with thence.because(placed):
        log.append("order.paid", subject="order/881", actor="till")
    assert len(log.why("order/881").sentences) == 2
print(thence.__version__)
"""


class ReleaseError(Exception):
    """Error: there is nothing to release, and why."""


def main() -> int:
    """Build, compare, check and try; the exit status is 0 if all of it succeeded."""
    try:
        release()
    except (ReleaseError, OSError, subprocess.TimeoutExpired) as error:
        print(f"release failed: {error}", file=sys.stderr)
        return 1
    return 0


def release() -> None:
    """Make dist/ anew, then report what it holds and what keeps it from being uploaded."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        say("building twice from clean exports of HEAD")
        dist, second = build(place / "first"), build(place / "second", from_sdist=True)
        if changed := list(differences(dist, second)):
            raise ReleaseError("two builds differ: " + "; ".join(changed))
        sdist, wheel = sorted(dist.iterdir(), key=lambda file: file.suffix == ".whl")
        (raw,) = (data for name, data in members(wheel).items() if name.endswith("/METADATA"))
        metadata = BytesParser().parsebytes(raw)
        changelog = (place / "first" / "tree" / "CHANGELOG.md").read_text(encoding="utf-8")
        if wrong := list(problems(metadata, [sdist.name, wheel.name], changelog)):
            raise ReleaseError("; ".join(wrong))
        run([TWINE, "check", "--strict", sdist, wheel])
        tried = {try_out(*pair, metadata["Version"]) for pair in product(pythons(), (wheel, sdist))}
        shutil.rmtree(DIST, ignore_errors=True)
        shutil.copytree(dist, DIST)
    for file in sorted(DIST.iterdir()):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        print(f"dist/{file.name}  {file.stat().st_size:,} bytes  sha256 {digest}")
    for line in reservations(metadata, tried, changelog, run(["git", "status", "--porcelain"])):
        print(line)


def build(place: Path, *, from_sdist: bool = False) -> Path:
    """Export HEAD into a folder, build there, and return the folder of sdist and wheel."""
    tree, dist = place / "tree", place / "dist"
    tree.mkdir(parents=True)
    run(["git", "archive", "--output", place / "tree.tar", "HEAD"])
    shutil.unpack_archive(place / "tree.tar", tree, filter="data")
    epoch = {"SOURCE_DATE_EPOCH": run(["git", "log", "-1", "--format=%ct"]).strip()}
    hatchling = [sys.executable, "-m", "hatchling", "build", "-d", dist]
    mask = 0o077 if from_sdist else 0o022  # of new files: what a builder's machine may differ in
    run([*hatchling, "-t", "sdist"], tree, epoch, mask)
    if from_sdist:
        shutil.unpack_archive(next(dist.glob("*.tar.gz")), place / "unpacked", filter="data")
        (tree,) = (place / "unpacked").iterdir()
    run([*hatchling, "-t", "wheel"], tree, epoch, mask)
    return dist


def differences(first: Path, second: Path) -> Iterator[str]:
    """Say how the files of two folders differ, by the members of archives."""
    for name in sorted({file.name for file in (*first.iterdir(), *second.iterdir())}):
        pair = (first / name, second / name)
        if not all(file.exists() for file in pair):
            yield f"{name} was built once"
        elif pair[0].read_bytes() != pair[1].read_bytes():
            one, other = map(members, pair)
            parts = sorted(part for part in one | other if one.get(part) != other.get(part))
            yield f"{name}: {', '.join(parts[:5]) or 'times, modes or the order of members'}"


def members(archive: Path) -> dict[str, bytes]:
    """Read the files of a wheel or an sdist."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist()}
    with tarfile.open(archive) as tar:
        return {item.name: file.read() for item in tar if (file := tar.extractfile(item))}


def problems(metadata: Message, files: list[str], changelog: str) -> Iterator[str]:
    """Say what in the metadata, the file names and the changelog doesn't fit together."""
    version = metadata["Version"]
    for file in files:
        if not file.startswith(f"thence-{version}"):
            yield f"{file} is not of version {version}"
    if not re.search(rf"^## {re.escape(version)}\b", changelog, re.MULTILINE):
        yield f"CHANGELOG.md has no section {version}"
    homes = {line.partition(", ")[2] for line in metadata.get_all("Project-URL", [])}
    source = min(homes, key=len, default="")
    yield from (f"{home} is not under {source}" for home in sorted(homes) if source not in home)
    text = str(metadata.get_payload())
    if not homes or f"{source}/blob/v{version}/" not in text:
        yield "the links of the README don't lead to the tag of this version"


def pythons() -> list[str]:
    """List the Python of .venv and those of .ci/pythons, each once."""
    first = str(getattr(sys, "_base_executable", sys.executable))
    further = run([ROOT / ".ci" / "pythons"]).split()
    return list({os.path.realpath(python): python for python in (first, *further)}.values())


def try_out(python: str, file: Path, version: str) -> str:
    """Use a file in an empty environment, and return the Python's version, such as 3.11."""
    number = run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]).strip()
    say(f"trying {file.name} on Python {number}")
    with tempfile.TemporaryDirectory() as name:
        home, bin_ = Path(name, "home"), Path(name, "env", "bin")
        home.mkdir()
        run([python, "-m", "venv", bin_.parent])
        pip = [bin_ / "pip", "--disable-pip-version-check"]
        run([*pip, "install", "--quiet", "--no-compile", file])
        run([*pip, "check"])
        clean = {"HOME": str(home), "PATH": f"{bin_}:{os.environ['PATH']}"}
        told = run([bin_ / "thence", "--version"], home, clean)
        if not told.startswith(f"thence {version} (Python {number}."):
            raise ReleaseError(f"thence --version says {told.strip()}")
        run([bin_ / "python", "-c", FIRST_STEPS], home, clean)
        run([bin_ / "thence", "demo"], home, clean)
        if file.suffix == ".whl":
            run([*pip, "install", "--quiet", "--no-compile", f"{file}[all]"])
            run([*pip, "check"])
    return number


def reservations(
    metadata: Message, tried: set[str], changelog: str, uncommitted: str
) -> Iterator[str]:
    """Say what is still to be done before an upload; the address of the forge comes last."""
    if uncommitted:
        yield "uncommitted changes are not in these files: they were built from HEAD"
    for version in re.findall(r"Python :: (3\.\d+)", str(metadata.get_all("Classifier"))):
        if version not in tried:
            yield f"not tried on Python {version}: .ci/pythons finds none"
    if re.search(rf"^## {re.escape(metadata['Version'])}.*not released", changelog, re.MULTILINE):
        yield f"CHANGELOG.md has no date for {metadata['Version']} yet"
    if any(RESERVED in line for line in metadata.get_all("Project-URL", [])):
        yield "the address of the forge is still the reserved one: set [project.urls] first"


def run(argv: list[Any], cwd: Path = ROOT, env: Mapping[str, str] = {}, umask: int = -1) -> str:
    """Run a command, and return what it printed; a failure shows all of that."""
    ended = subprocess.run(
        list(map(str, argv)),
        cwd=cwd,
        env=os.environ | env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=STEP_S_MAX,
        umask=umask,
    )
    if ended.returncode != 0:
        raise ReleaseError(f"{' '.join(map(str, argv))}\n{ended.stdout}{ended.stderr}".rstrip())
    return ended.stdout


def say(text: str) -> None:
    """Show the person at the terminal what is being done."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
