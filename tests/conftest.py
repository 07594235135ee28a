"""What holds for every test."""

import gc
import signal
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from tests import tiers
from tools import bootstrap

if TYPE_CHECKING:
    from tests.server.postgres import Cluster

    from thence import Log

# A shell that runs the tests in the background has Ctrl-C ignored, and so would every program
# that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# a file that takes longer begins before those that don't; those keep their random order
LONG_S = 10.0
# the parameters by which tests have the engine of a server's database
ENGINES = ("address", "engine", "own_address")

STALE = f"""the wheel in .venv is not built from these sources
  why:  one of {", ".join(bootstrap.WHEEL_INPUTS)} has changed since it was installed
  next: make setup, then the same again"""

# A deadline on the wall says how busy the machine is, not what the code under test does.
usual = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("whole", usual)
settings.register_profile("rest", usual, max_examples=tiers.EXAMPLES_OF_THE_REST)
settings.register_profile("person", usual, max_examples=tiers.EXAMPLES_OF_A_PERSON)
settings.load_profile(tiers.tenth("whole", "rest"))


@pytest.fixture
def log(tmp_path: Path) -> "Iterator[Log]":
    """An open log in the test's folder."""
    import thence

    with thence.open(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="session")
def postgres() -> "Iterator[Cluster]":
    """One cluster for all tests of a process: mark these with xdist_group("postgres")."""
    from tests.server.postgres import cluster

    with cluster() as made:
        yield made


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("thence")
    group.addoption("--tier", choices=tiers.TIERS, help="a person's tests, or the rest of them")
    group.addoption("--renew-durations", action="store_true", help="note what each test takes")


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput") and bootstrap.has_stale_wheel():
        raise pytest.UsageError(STALE)
    if config.getoption("--tier") == "person" or config.getoption("--renew-durations"):
        settings.load_profile("person")
    if config.getoption("--renew-durations") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Stopwatch())


class Stopwatch:
    """Sums up what each test function takes, and renews the page of durations."""

    def __init__(self) -> None:
        self.took: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.took[tiers.function_of(report.nodeid)] += report.duration

    def pytest_sessionfinish(self) -> None:
        tiers.write(self.took)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let the soak try all the examples of each property too, and each test on both engines.

    The tiers run on PostgreSQL what its order, locks and commits can change: `both_engines`.
    """
    if tiers.is_property(item):
        item.add_marker("whole")
    given = getattr(getattr(item, "callspec", None), "params", {})
    is_on_postgres = "postgres" in (given.get(name) for name in ENGINES)
    if is_on_postgres and not any(item.iter_markers("both_engines")):
        item.add_marker(pytest.mark.whole(alone=True))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Takes the configuration of log records back, which structlog's own capture leaves behind."""
    if "structlog" in sys.modules:
        sys.modules["structlog"].reset_defaults()
    if "thence.log.causes" in sys.modules:
        causes = sys.modules["thence.log.causes"].current_causes()
        assert not causes, f"a block was left open, and tests to come would name {causes}"


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the other tier and what is in none, and puts the longest files first.

    Else one worker is busy with the last long file while the others have nothing to do.
    """
    tier = config.getoption("--tier")
    if tier or config.getoption("--renew-durations"):
        _keep(config, items, tiers.in_tiers(items))
    seconds = tiers.times(items)
    if tier:
        _keep(config, items, [*filter(tiers.kept(items, tier, seconds), items)])
    files: dict[str, float] = defaultdict(float)
    for function, took in seconds.items():
        files[_file(function)] += took
    items.sort(key=lambda item: -max(files[_file(item.nodeid)], LONG_S))


def _keep(config: pytest.Config, items: list[pytest.Item], kept: list[pytest.Item]) -> None:
    ids = {id(item) for item in kept}
    config.hook.pytest_deselected(items=[item for item in items if id(item) not in ids])
    items[:] = kept


def _file(node_id: str) -> str:
    return node_id.partition("::")[0]


def pytest_collection() -> None:
    """Let the garbage collector rest meanwhile: all that is imported and collected stays."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Spare the garbage collector what stays to the end."""
    gc.collect()
    gc.freeze()
    gc.enable()
