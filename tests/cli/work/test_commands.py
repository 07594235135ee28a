"""The commands of `thence work`: eleven names."""

import click
import pytest
from tests.cli.warm import warm

from thence.cli.commands.work import work_command

pytestmark = pytest.mark.promise("P6")
NAMES = {"setup-spec", "create-feature", "finalize-tasks", "implement", "mark-status", "move-task"}
NAMES |= {"add-history", "merge", "accept", "orchestrate", "status"}


def test_there_are_these_commands_and_no_others():
    assert {*work_command.list_commands(click.Context(work_command))} == NAMES


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
