import pytest

from thence.settings import Settings, from_environment


def test_variables_are_read_and_empty_ones_count_as_unset():
    names = {"THENCE_LOG": "log", "THENCE_ACTOR": "actor", "THENCE_ROOT": "root"}
    settings = from_environment({name: f"my {field}" for name, field in names.items()})
    assert (settings.log, settings.actor, settings.root) == ("my log", "my actor", "my root")
    assert settings.runs == "my root"
    others = ("NO_COLOR", "COLUMNS", "_THENCE_COMPLETE")
    assert from_environment(dict.fromkeys([*names, *others], "")) == Settings()
    assert from_environment({"_THENCE_COMPLETE": "zsh_complete"}).completing == "zsh_complete"


@pytest.mark.parametrize(
    ("environ", "is_colourless", "is_dumb"),
    [
        ({"NO_COLOR": "1", "TERM": "xterm"}, True, False),
        ({"TERM": "dumb"}, True, True),
        ({"TERM": "xterm"}, False, False),
    ],
)
def test_colour_goes_by_no_color_and_the_terminal(environ, is_colourless, is_dumb):
    settings = from_environment(environ)
    assert (settings.is_colourless, settings.is_dumb) == (is_colourless, is_dumb)


@pytest.mark.parametrize(
    ("columns", "width"), [("72", 72), ("0", None), ("wide", None), ("-3", None), ("99999", None)]
)
def test_columns_are_taken_where_they_are_a_width(columns, width):
    assert from_environment({"COLUMNS": columns}).columns == width
