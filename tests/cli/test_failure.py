import click
import pytest
from tests.cli.installed import is_three_lines

from thence import errors
from thence.cli.failure import problem_line, report_error
from thence.cli.output import Output
from thence.settings import Settings


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
