"""Builds a release of HEAD into dist/, checks it, tries it, and uploads nothing.

`make release` runs it. Two exports of HEAD are built; the second wheel is built from the second
sdist, so that equal bytes also show that the sdist holds all that the wheel needs.
`make release FOR=upload` refuses what must not be uploaded yet.
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
from collections.abc import Iterator, Mapping, Sequence
from email.message import Message
from email.parser import BytesParser
from importlib.metadata import PackageMetadata, distributions
from itertools import product
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
TWINE = ROOT / ".venv-release" / "bin" / "twine"
RESERVED = "//example.org/"
STEP_S_MAX = 600
COPYLEFT = re.compile(r"\b([AL]?GPL|MPL|EUPL|CDDL|EPL|OSL|CECILL)|General Public|Mozilla|-SA-")
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


def main(purpose: Sequence[str]) -> int:
    """Build, compare, check and try; the exit status is 0 if all of it succeeded."""
    try:
        if list(purpose) not in ([], ["upload"]):
            raise ReleaseError(f"{' '.join(purpose)} is not a purpose: the only one is FOR=upload")
        release(is_for_upload=bool(purpose))
    except (ReleaseError, OSError, subprocess.TimeoutExpired) as error:
        print(f"release failed: {error}", file=sys.stderr)
        return 1
    return 0


def release(*, is_for_upload: bool) -> None:
    """Make dist/ again, then report what it holds and what keeps it from being uploaded."""
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
        tags = run(["git", "tag", "--points-at", "HEAD"])
        if wrong := list(problems(metadata, [sdist.name, wheel.name], changelog, tags)):
            raise ReleaseError("; ".join(wrong))
        against = list(obstacles(metadata, changelog))
        if is_for_upload and against:
            raise ReleaseError("it is not for upload: " + "; ".join(against))
        run([TWINE, "check", "--strict", sdist, wheel])
        tried, packages = set(), set[str]()
        for python, file in product(pythons(), (wheel, sdist)):
            extras = ["all"] if packages else metadata.get_all("Provides-Extra", [])
            number, found = try_out(python, file, metadata["Version"], extras)
            tried.add(number)
            packages.update(found)
        shutil.rmtree(DIST, ignore_errors=True)
        shutil.copytree(dist, DIST)
    for file in sorted(DIST.iterdir()):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        print(f"dist/{file.name}  {file.stat().st_size:,} bytes  sha256 {digest}")
    print("licences of what pip installs with it:")
    for line in sorted(packages, key=str.lower):
        print(f"  {line}")
    for line in (*untried(metadata, tried, run(["git", "status", "--porcelain"])), *against):
        print(line)
    print("nothing was uploaded")


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


def problems(metadata: Message, files: list[str], changelog: str, tags: str) -> Iterator[str]:
    """Say what in the metadata, the file names, the changelog and the tags doesn't fit together."""
    version = metadata["Version"]
    for tag in re.findall(r"^v?\d.*$", tags, re.MULTILINE):
        if tag != f"v{version}":
            yield f"HEAD has the tag {tag}, but its version is {version}"
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


def try_out(python: str, file: Path, version: str, extras: Sequence[str]) -> tuple[str, list[str]]:
    """Use a file in an empty environment, and return the Python's version, such as 3.11.

    A wheel is installed with the extras too; then the licences of all packages come second.
    """
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
            run([*pip, "install", "--quiet", "--no-compile", f"{file}[{','.join(extras)}]"])
            run([*pip, "check"])
            return number, licences(bin_.parent)
    return number, []


def licences(environment: Path) -> list[str]:
    """List what is installed in an environment beside pip and thence: name, version, licence."""
    folders = map(str, environment.glob("lib/python*/site-packages"))
    packages = {one.name.lower(): one for one in distributions(path=list(folders))}
    return [
        f"{one.name} {one.version}  {licence(one.metadata)}"
        for name, one in sorted(packages.items())
        if name not in ("pip", "setuptools", "thence")
    ]


def licence(metadata: PackageMetadata) -> str:
    """Return the licence in a package's metadata; a copyleft one is named so."""
    expressions = metadata.get_all("License-Expression", [])
    classifiers = metadata.get_all("Classifier", [])
    approved = [line.rpartition(" :: ")[2] for line in classifiers if "License :: OSI" in line]
    texts = [text.strip().partition("\n")[0] for text in metadata.get_all("License", [])]
    names = expressions or [one for one in approved if one != "OSI Approved"] or texts
    name = ", ".join(names) or "unknown"
    return f"{name} (copyleft)" if COPYLEFT.search(name) else name


def untried(metadata: Message, tried: set[str], uncommitted: str) -> Iterator[str]:
    """Say what the files in dist/ don't hold, and where they were not tried."""
    if uncommitted:
        yield "uncommitted changes are not in these files: they were built from HEAD"
    for version in re.findall(r"Python :: (3\.\d+)", str(metadata.get_all("Classifier"))):
        if version not in tried:
            yield f"not tried on Python {version}: .ci/pythons finds none"


def obstacles(metadata: Message, changelog: str) -> Iterator[str]:
    """Say what is still to be done before an upload; the address of the forge comes last."""
    dated = rf"^## {re.escape(metadata['Version'])}\b.*\b\d{{4}}-\d\d-\d\d\b"
    if not re.search(dated, changelog, re.MULTILINE):
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
    sys.exit(main(sys.argv[1:]))
