import click
import pytest
from tests.cli.installed import is_three_lines

from thence import errors
from thence.cli.failure import report_error
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
