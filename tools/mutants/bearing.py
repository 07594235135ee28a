"""Which tests bear on a function: those that enter it, in whatever process.

Each test is run once on the sources as they are, and what it entered is noted with the time it
took. A test that fails so, or has the limit of a test broken, is left out, which the table
tells. What was noted is kept in mutants/bearing-<room>.json until the sources change; a test file
that changed is run again alone.
"""

import hashlib
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tools.mutants.copy import COPY, ROOT, import_from
from tools.mutants.first import ENTERED, Notes
from tools.mutants.lines import Watch

EXAMPLES = 25
# handlers that interrupt what notes the lines may wait for it for ever
INTERRUPTING = "tests/log/test_many_hands_signals.py"
OPTIONS = (
    "-q",
    "-s",
    "--tb=native",
    "-p",
    "no:randomly",
    "-p",
    "no:cacheprovider",
    "--timeout=120",
    f"--deselect={INTERRUPTING}",
)

# which tests a room is put to: its own, and those beside it that are quick
PLACES = {
    "core": ("tests/core", "tests/core/merge", "tests/golden"),
    "log": ("tests/log", "tests/golden", "tests/contracts", "tests/log/open"),
}


@dataclass
class Bearing:
    """What each test entered, how many seconds it took, which tests are left out.

    `ran` holds the lines that a test ran in its own process, by module. Those that `passed` did
    so on the copy, with all mutants asleep; `failed` did not, there or on the sources as they are.
    """

    sources: str = ""
    files: dict[str, str] = field(default_factory=dict)
    entered: dict[str, list[str]] = field(default_factory=dict)
    ran: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    took_s: dict[str, float] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)
    passed: list[str] = field(default_factory=list)

    def save(self, room: str) -> None:
        """Keep it for the next run."""
        page_of(room).write_text(json.dumps(vars(self)))

    def tests_on(self, function: str) -> list[str]:
        """List the tests that entered a function."""
        return [test for test, entered in self.entered.items() if function in entered]

    def by_line(self) -> dict[tuple[str, int], set[str]]:
        """Turn round which lines each test ran: (module, line) to tests."""
        found: dict[tuple[str, int], set[str]] = {}
        for test, modules in self.ran.items():
            for module, lines in modules.items():
                for line in lines:
                    found.setdefault((module, line), set()).add(test)
        return found


class SameDraws:
    """A plugin that has random tests draw the same each time, as long as they like."""

    def pytest_configure(self) -> None:
        """Set this up before a test is imported; a failure is not shrunk, being no surprise."""
        from hypothesis import Phase, settings

        phases = (Phase.explicit, Phase.generate)
        settings.register_profile(
            "mutants",
            phases=phases,
            derandomize=True,
            database=None,
            deadline=None,
            max_examples=EXAMPLES,
        )
        settings.load_profile("mutants")


class Recorder:
    """A plugin of pytest that fills in a Bearing."""

    def __init__(self, bearing: Bearing, path: Path, watch: Watch) -> None:
        self.bearing = bearing
        self.path = path
        self.watch = watch
        self.notes = Notes(str(path), ROOT / "src")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, bool, bool]:
        """Give each test an empty page, keep what it wrote there."""
        self.path.write_text("")
        self.notes.seen.clear()
        self.watch.turn_to(item.nodeid)
        self.notes.begin()
        done = yield
        sys.setprofile(None)
        self.watch.turn_to("")
        self.bearing.entered[item.nodeid] = sorted(set(self.path.read_text().split()))
        return done

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Add up the time; notice who fails."""
        taken = self.bearing.took_s.get(report.nodeid, 0.0) + report.duration
        self.bearing.took_s[report.nodeid] = taken
        if report.failed and report.nodeid not in self.bearing.failed:
            self.bearing.failed.append(report.nodeid)


def test_files(room: str) -> list[str]:
    """Find the test files that a room is put to."""
    found = [path for place in PLACES[room] for path in (ROOT / place).glob("test_*.py")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def learn(room: str, workers: int) -> Bearing:
    """Load what was noted, after running those tests of a room that have changed since."""
    page = page_of(room)
    bearing = Bearing(**json.loads(page.read_text())) if page.exists() else Bearing()
    noting = [Path(__file__), Path(__file__).with_name("lines.py")]
    sources = digest([*sorted((ROOT / "src").rglob("*.py")), *noting])
    if bearing.sources != sources:
        bearing = Bearing(sources)
    files = {name: digest([ROOT / name]) for name in test_files(room)}
    changed = [name for name, is_now in files.items() if bearing.files.get(name) != is_now]
    stale = {name for name in bearing.files if not (ROOT / name).exists()}
    stale.update(changed)
    for kept in (bearing.entered, bearing.took_s, bearing.ran):
        for test in [test for test in kept if test.split("::")[0] in stale]:
            del kept[test]
    for tests in (bearing.failed, bearing.passed):
        tests[:] = [test for test in tests if test.split("::")[0] not in stale]
    if changed:
        record(bearing, room, changed, workers)
    bearing.files = {
        name: is_now for name, is_now in bearing.files.items() if name not in stale
    } | files
    bearing.save(room)
    return bearing


def page_of(room: str) -> Path:
    """Name the file that keeps what was noted."""
    return COPY / f"bearing-{room}.json"


def record(bearing: Bearing, room: str, files: list[str], workers: int) -> None:
    """Run test files in processes of their own, which tell what they entered."""
    print(f"running {len(files)} test files to see what they enter", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        pages = [Path(folder) / str(number) for number in range(min(workers, len(files)))]
        children = []
        for number, page in enumerate(pages):
            page.write_text("")
            child = os.fork()
            if child == 0:
                run_and_note(page, room, files[number :: len(pages)])
            children.append(child)
        for child in children:
            os.waitpid(child, 0)
        for page in pages:
            entered, ran, took_s, failed = json.loads(page.with_suffix(".json").read_text())
            bearing.entered |= entered
            bearing.ran |= ran
            bearing.took_s |= took_s
            bearing.failed += failed


def run_and_note(page: Path, room: str, files: list[str]) -> NoReturn:
    """Run test files in this process, write down what they entered, end."""
    os.environ[ENTERED] = str(page)
    os.dup2(os.open(os.devnull, os.O_RDWR), 1)
    own = Bearing()
    try:
        watch = Watch()
        watch.begin()
        import_from(ROOT / "src")
        pytest.main([*OPTIONS, *files], plugins=[SameDraws(), Recorder(own, page, watch)])
        noted = [own.entered, watch.ran(room), own.took_s, own.failed]
        page.with_suffix(".json").write_text(json.dumps(noted))
    except BaseException:  # boundary: the child ends here, and its parent names the page it lacks
        traceback.print_exc()
    finally:
        os._exit(0)


def digest(paths: Iterable[Path]) -> str:
    """Name the content of files by their SHA-256."""
    whole = hashlib.sha256()
    for path in paths:
        whole.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return whole.hexdigest()
