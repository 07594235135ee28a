"""What programs may import: typed, whole, found again when it is misspelt."""

import inspect
import re
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from tests.docs.test_examples import PAGES
from tests.docs.test_examples import examples as python_examples
from tools.api_site import FRONTS

import thence
import thence.log.index.page
import thence.sim
from thence import errors

# one worker, so that one cache serves them all
MYPY = pytest.mark.xdist_group("mypy of a user's program")
# what stands in a public signature and is private all the same, with the reason
PRIVATE = {
    # thence makes views, maps, columns, rows of them
    *("Accepted", "Kept", "Ledger", "MapView", "Rows", "Trace", "WriteScope"),
    # thence makes them: `branch`, `resume`, a log, a run, the orchestrator, `EventStore.at`
    *("Alterations", "EventFields", "Project", "ReplayInput", "Roster", "UsualEvent", "World"),
    "VariableTable",
    # keywords, as a page of the reference has them, and entries that a scenario declares
    *("DeclaredAction", "MemorySettings", "PageQuery", "RunParts", "TalkSettings"),
    # thence alone declares or makes them: a disk of its tests, types of events, any event
    *("Disk", "Field", "Filter", "HasId"),
    "Relayed",  # what taking in other clones' lines came to, for the commands of work
}


# those that a log's user meets; the others stand in thence.errors alone
AT_THE_TOP = {
    *("ThenceError", "InvalidEvent", "EventTooLarge", "EventNotFound", "InvalidFilter", "LogBusy"),
    *("LogFull", "LogReadOnly", "NotALog", "OutcomeUnknown", "HeadsMoved", "IdReused"),
    *("VocabularyMismatch", "WriterClosed"),
}
IN_ERRORS_ALONE = {
    *("CyclicDependencyError", "ExtraMissing", "GitFailed", "NotLoggedIn", "PlanningError"),
    *("Refused", "RunDiverged", "ScenarioError", "SyncRefused"),
}


@pytest.mark.promise("P1a")
def test_thence_exports_the_errors_that_a_logs_user_meets():
    classes = [value for value in vars(errors).values() if inspect.isclass(value)]
    named = {each.__name__: each for each in classes if issubclass(each, errors.ThenceError)}
    assert named.keys() & set(thence.__all__) == AT_THE_TOP
    assert all(getattr(thence, name) is named[name] for name in AT_THE_TOP)
    assert named.keys() == AT_THE_TOP | IN_ERRORS_ALONE
    for name in IN_ERRORS_ALONE:
        with pytest.raises(AttributeError, match=rf"it is thence\.errors\.{name}$"):
            getattr(thence, name)
    assert thence.errors is errors


@pytest.mark.promise("P1a")
def test_completion_finds_every_name_and_no_more():
    assert dir(thence) == sorted(thence.__all__)
    assert thence.EventFilter is thence.sim.EventFilter
    assert thence.open.__name__ == "open_log"


@pytest.mark.promise("P1a")
@pytest.mark.parametrize(
    ("asked", "meant"), [("xyzzy", ""), ("Lgo", "Log"), ("event", "Event"), ("_open", "")]
)
def test_unknown_name_is_refused_with_the_nearest(asked: str, meant: str):
    with pytest.raises(AttributeError) as caught:
        getattr(thence, asked)
    end = f"; did you mean {meant}?" if meant else ""
    assert str(caught.value) == f"module 'thence' has no attribute '{asked}'{end}"


@pytest.mark.promise("P1a")
def test_importing_thence_imports_nothing_else():
    program = "import sys; old = set(sys.modules); import thence; print(*set(sys.modules) - old)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (ran.stdout, ran.stderr) == ("thence\n", "")


def named(annotation: object) -> Iterator[type]:
    """Yields the classes of thence that stand in an annotation."""
    if inspect.isclass(annotation) and annotation.__module__.startswith("thence."):
        yield annotation
    parts = annotation if isinstance(annotation, list) else typing.get_args(annotation)
    for part in parts:
        yield from named(part)


def signatures(door: ModuleType) -> Iterator[object]:
    """Yields the functions and classes of a door, with the public methods of those classes."""
    for found in (getattr(door, name) for name in door.__all__):
        if inspect.isclass(found) or inspect.isfunction(found):
            yield found
        for name, value in vars(found).items() if inspect.isclass(found) else ():
            member = getattr(value, "fget", None) or getattr(value, "__func__", value)
            if inspect.isfunction(member) and (name == "__init__" or not name.startswith("_")):
                yield member


@pytest.mark.promise("P1a")
@pytest.mark.parametrize("room", ["thence.sim", "thence.work", "thence.core.merge"])
def test_classes_of_public_signatures_are_public(room: str):
    doors = (import_module(room), thence)
    public = [getattr(door, name) for door in doors for name in door.__all__]
    names = {**vars(thence.log.index.page), "pandas": import_module("pandas")}
    unknown = {
        kind.__name__
        for each in signatures(doors[0])
        for annotation in typing.get_type_hints(each, localns=names).values()
        for kind in named(annotation)
        if kind not in public
    }
    assert unknown <= PRIVATE


@pytest.mark.promise("P1a")
@pytest.mark.parametrize("page", [page for page in PAGES if python_examples(page)])
def test_examples_import_what_is_public(page: Path):
    text = "\n".join(python_examples(page))
    taken = re.findall(r"^\s*from (thence[\w.]*) import (.+)$", text, re.MULTILINE)
    public = (*FRONTS, "thence.errors")
    for door, names in taken:
        assert door in public
        assert set(re.split(r",\s*", names)) <= set(dir(import_module(door)))


def mypy(places, folder, *files):
    """Checks files in a folder; what it learns of thence serves all tests of a worker."""
    cache = f"--cache-dir={places.getbasetemp() / 'mypy'}"
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", cache, *files]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """Returns what `mypy --strict` says of a user's program, in a folder of its own."""
    folder = tmp_path_factory.mktemp("program")

    def judge(program: str) -> list[str]:
        (folder / "program.py").write_text(program)
        ran = mypy(tmp_path_factory, folder, "program.py")
        assert not ran.stderr
        return ran.stdout.splitlines()

    return judge


@MYPY
@pytest.mark.promise("P1a")
def test_type_checker_knows_every_name(judged):
    classes = [name for name in thence.__all__ if inspect.isclass(getattr(thence, name))]
    lines = ["import thence", "def f(log: thence.Log) -> thence.Event: return log.append('a')"]
    lines += [f"def f_{name}(it: thence.{name}) -> None: reveal_type(it)" for name in classes]
    lines += [f"reveal_type(thence.{name})" for name in ("because", "open", "step")]
    lines += ["from thence import *", "raise LogBusy(errors.__name__ + __version__)"]
    *told, end = judged("\n".join(lines))
    assert end == "Success: no issues found in 1 source file"
    for name, line in zip(classes, told, strict=False):
        home = getattr(thence, name)
        assert line.endswith(f'Revealed type is "{home.__module__}.{name}"')
    assert len(told) == len(classes) + 3
    assert all('"def ' in line or '"Overload(' in line for line in told[len(classes) :])


@MYPY
@pytest.mark.promise("P1a")
def test_type_checker_refuses_what_is_misspelt(judged):
    lines = [
        "import thence",
        "thence.Lgo",
        "thence.appendd",
        "thence.errors.LogBsy",
        "from thence import Lgo",
        "from thence.sim import Veiw",
        "def query(log: thence.Log) -> None: log.query(wher='a = 1')",
        "def append(log: thence.Log) -> None: log.append('a', subjet='b')",
    ]
    told = "\n".join(judged("\n".join(lines)))
    for number in range(2, len(lines) + 1):
        wrong = rf"^program\.py:{number}: error: .*(has no attribute|Unexpected keyword)"
        assert re.search(wrong, told, re.MULTILINE), lines[number - 1]


@MYPY
@pytest.mark.promise("P1a", "P2")
def test_components_are_typed_by_what_sim_exports_alone(judged):
    program = """\
from collections.abc import Sequence
from thence.sim import (
    Action, BaseAgent, BaseEngine, BaseValidator, Decision, Observation, Owned, RecordedView,
    RecordedState, Rejection, RunResult, SimulationConfig, SimulationOrchestrator, State, Verdict,
    View, Writes,
)

def here(run: SimulationOrchestrator) -> int:
    return run.run().turns

async def in_a_loop(run: SimulationOrchestrator) -> RunResult:
    return await run.run()

def wealth(seen: RecordedView, name: str) -> float:
    owned: Owned = seen.agent(name)
    return float(owned["money"])

class Trader(BaseAgent):
    def decide_action(self, observation: Observation) -> Decision:
        refused: tuple[Rejection, ...] = observation.rejections
        return None if refused else Action("pay", {"money": wealth(observation, self.name)})

class Bank(BaseEngine):
    def __init__(self, config: SimulationConfig | None = None, rate: float = 0.1) -> None:
        super().__init__(config)
        self.rate = rate
    def initialize_state(self, state: State) -> State:
        return state
    def apply_actions(
        self, state: RecordedState, actions: Sequence[Action], writes: Writes
    ) -> None:
        for action in actions:
            with writes.action(action) as view:
                self.apply_action(view, action)
    def apply_action(self, view: View, action: Action) -> None:
        view.agent(action.agent_id)["money"] = self.rate
    def apply_engine_rules(self, view: View) -> None:
        wealth(view, "ada")
    def check_termination(self, state: RecordedState) -> str | None:
        return None

class Rules(BaseValidator):
    def validate_action(self, action: Action, state: RecordedState) -> Verdict:
        is_poor = wealth(state, action.agent_id) < 0
        return Verdict.reject("too poor") if is_poor else Verdict.accept()
"""
    assert judged(program) == ["Success: no issues found in 1 source file"]


@MYPY
@pytest.mark.promise("P1a", "P2")
def test_examples_are_typed(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory):
    root = Path(__file__).parents[1]
    files = [*(root / "examples").glob("*.py")]
    # pages leave types of parameters out: their calls, imports and base classes are checked alone
    lax = "# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-calls\n"
    pages = []
    for page in PAGES:
        text = "\n".join(python_examples(page))
        if "guides" in page.parts and "thence.sim import" in text:
            pages.append(tmp_path / f"{page.stem.replace('-', '_')}.py")
            pages[-1].write_text(lax + text)
    ran = mypy(tmp_path_factory, tmp_path, *map(str, [*files, *pages]))
    assert ran.returncode == 0, ran.stdout
    assert len(pages) >= 5
