import click
import pytest
from tests.cli.installed import is_three_lines

from thence import errors
from thence.cli.failure import failure_of, problem_line, report_error
from thence.cli.output import Output
from thence.settings import Settings

EXIT_CODES = {
    "InvalidEvent": 1,
    "EventTooLarge": 1,
    "LogBusy": 1,
    "LogReadOnly": 1,
    "ReadFailed": 1,
    "BodyMissing": 3,
    "RedactionRefused": 1,
    "PruneRefused": 1,
    "LogFull": 1,
    "AppendFailed": 1,
    "WriterClosed": 1,
    "VocabularyMismatch": 1,
    "UnsupportedPlatform": 1,
    "RunIdTaken": 1,
    "NotRecorded": 1,
    "NotSeen": 1,
    "RunGoesOn": 1,
    "RunDiverged": 1,
    "OutcomeFailed": 1,
    "ModelCallFailed": 1,
    "EndpointDown": 1,
    "BudgetSpent": 1,
    "AmbiguousId": 2,
    "InvalidFilter": 2,
    "InvalidCursor": 2,
    "ExtraMissing": 1,
    "PortTaken": 1,
    "FileBusy": 1,
    "ProblemsError": 2,
    "ScenarioError": 2,
    "PlanningError": 2,
    "NotAProject": 4,
    "WorkError": 1,
    "Refused": 1,
    "GitFailed": 1,
    "CyclicDependencyError": 3,
    "DamagedCopy": 3,
    "DatabaseUnavailable": 3,
    "EventNotFound": 4,
    "LineNotFound": 4,
    "NotALog": 4,
    "NotAServer": 4,
    "ServerExists": 1,
    "AccountRefused": 1,
    "HeadsMoved": 1,
    "IdReused": 1,
    "ClockExhausted": 1,
    "OutcomeUnknown": 5,
    "SyncError": 1,
    "NotLoggedIn": 1,
    "SyncRefused": 1,
    "ServerUnreachable": 1,
    "ServerBusy": 1,
    "BadAnswer": 1,
    "CursorUnknown": 1,
    "BadSettings": 2,
    "BatchRefused": 1,
}


def every_error(kind=errors.ThenceError):
    for child in kind.__subclasses__():
        if child.__module__ == "thence.errors":
            yield child
            yield from every_error(child)


@pytest.mark.promise("P6")
def test_every_error_has_its_exit_code():
    found = {kind.__name__: failure_of(kind("could not do it")).exit_code for kind in every_error()}
    assert found == EXIT_CODES


def test_code_of_an_error_is_its_name_in_words():
    codes = {kind("could not do it").code for kind in every_error()}
    assert {"not_a_log", "log_full", "cyclic_dependency_error"} < codes
    assert len(codes) == len(EXIT_CODES)


@pytest.mark.parametrize(
    "error",
    [
        errors.ThenceError("could not do it"),
        errors.LogFull("could not append", place="x", cause="no space\nleft", hint="make room"),
        OSError(5, "Input/output error", "events.jsonl"),
        OSError("odd"),
        RuntimeError("a bug"),
        click.UsageError("wrong"),
        click.ClickException("odd"),
    ],
)
def test_every_error_is_told_in_three_lines(capfd, error):
    assert report_error(error, Output(Settings())) in (1, 2)
    err = capfd.readouterr().err
    assert is_three_lines(err)
    assert len(err.splitlines()) == 3


def test_problem_of_a_scenario_is_told_as_compilers_do():
    problem = {"file": "a.yaml", "line": 3, "key": "engine.typ", "message": "no", "hint": "type"}
    assert problem_line(problem) == "a.yaml:3: engine.typ: no (type)"
    bare = {"file": "a.yaml", "line": 0, "key": "", "message": "there is no such file", "hint": ""}
    assert problem_line(bare) == "a.yaml: there is no such file"
