"""The commands of `thence work`: ten, each with few options."""

import click
import pytest
from tests.cli.warm import warm
from tests.cli.work.projects import work

from thence.cli.commands.work import work_command

pytestmark = pytest.mark.promise("P6")
NAMES = {
    "setup-spec",
    "create-feature",
    "finalize-tasks",
    "implement",
    "mark-status",
    "move-task",
    "add-history",
    "merge",
    "accept",
    "orchestrate",
    "status",
}
OF_ALL = {"--feature", "--actor", "--json", "--force", "--reason", "--dry-run", "--yes"}
OF_ALL |= {"--quiet", "--verbose", "--debug"}
OPTIONS_MAX = 40
FORMER = (
    *("init", "add", "import", "next", "release", "reopen"),
    *("prune", "gate", "errors", "conflicts", "publish"),
)


def commands():
    context = click.Context(work_command)
    return {
        name: work_command.get_command(context, name)
        for name in work_command.list_commands(context)
    }


def test_there_are_these_commands_and_no_others(finalized):
    assert commands().keys() == NAMES
    for name in FORMER:
        ended = work(finalized, name, "WP01")
        assert (ended.code, f"no such command {name!r}" in ended.err.lower()) == (2, True)


def test_few_options_are_to_be_learnt():
    names = {
        (command.name, option)
        for command in commands().values()
        for parameter in command.params
        for option in parameter.opts
        if option.startswith("--") and option not in OF_ALL
    }
    assert len(names) <= OPTIONS_MAX, sorted(names)


def test_help_lists_two_names_of_one_command_together(tmp_path):
    assert "create-feature, setup-spec" in warm("work", "--help", cwd=tmp_path).out
    one, other = (
        warm("work", name, "--help", cwd=tmp_path).out.replace(name, "setup-spec")
        for name in ("create-feature", "setup-spec")
    )
    assert one == other


def test_help_of_finalize_tasks_shows_the_form_of_tasks_md(tmp_path):
    out = warm("work", "finalize-tasks", "--help", cwd=tmp_path).out
    for line in ("## Work Package WP01: ", "- [ ] T001 ", "### Dependencies", "- Depends on WP01"):
        assert line in out
