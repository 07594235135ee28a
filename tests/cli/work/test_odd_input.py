"""What is wrong, empty or odd on the command line: named in three lines, and nothing is changed."""

import json
import os
import re
import subprocess

import pytest
from tests.cli.installed import THENCE, environment, thence
from tests.cli.work.projects import refused

pytestmark = [pytest.mark.promise("P6"), pytest.mark.xdist_group("odd_input")]
ODD = os.fsdecode(b"a\xff")
# told as they are, they would break a line or steer a terminal
_UNFIT = re.compile(r"[\x00-\x1f\x7f]")


# what is typed, the exit code, the code of the error, and what its message has to name
CASES = [
    (("move-task", "WP01", "--gate", "=passed"), 2, "usage", "'' is not one of CI_CHECK"),
    (("move-task", "WP01", "--gate", "NOPE=passed"), 2, "usage", "'NOPE' is not one of CI_CHECK"),
    (("move-task", "WP01", "--gate", "CI_CHECK"), 2, "usage", "'' is not one of pending, passed"),
    (("move-task", "WP01", "--gate", "CI_CHECK=maybe"), 2, "usage", "'maybe' is not one of pend"),
    (("mark-status",), 2, "usage", "'T...'"),
    (("mark-status", ""), 2, "usage", "'T...': it is empty"),
    (("mark-status", "T001 T002"), 1, "refused", "'T001 T002'"),
    (("move-task", "WP01"), 2, "usage", "--to LANE, --gate GATE=RESULT, or both"),
    (("move-task", "WP01", "--to", ""), 2, "usage", "'' is not one of 'planned'"),
    (("move-task", "WP01", "--to", "\x1b[31mred"), 2, "usage", "'\\x1b[31mred' is not one"),
    (("move-task", "WP01", "--to", "doing", "--force"), 1, "refused", "001-sync/WP01 to doing"),
    (("add-history", "WP01"), 2, "usage", "'TEXT'"),
    (("add-history", "WP01", " \n"), 2, "planning_error", "note on 001-sync/WP01"),
    (("add-history", "WP01", "x", "--type", ""), 2, "usage", "'--type': ''"),
    (("add-history", "WP01", ODD), 2, "usage", "'TEXT': 'a\\udcff'"),
    (("finalize-tasks", "--add", " "), 2, "planning_error", "add a package"),
    (("finalize-tasks", "--add", ODD), 2, "usage", "'--add': 'a\\udcff'"),
    (("finalize-tasks", "--after", "WP01"), 2, "usage", "--after applies to a package"),
    (("setup-spec", " "), 2, "planning_error", "begin a feature"),
    (("status", "--feature", ""), 2, "usage", "'--feature': it is empty"),
    (("setup-spec", "--target-branch", "main"), 2, "usage", "name its TITLE"),
    (("setup-spec", "x", "--new-id"), 2, "usage", "without TITLE first"),
    (("setup-spec", "x", "--target-branch", ""), 2, "usage", "'--target-branch'"),
    (("setup-spec", ODD), 2, "usage", "'[TITLE]': 'a\\udcff'"),
    (("status", "--actor", ""), 2, "usage", "'--actor': it is empty"),
    (("implement", "--actor", "ada\nbob"), 2, "usage", "--actor is 'ada\\nbob'"),
    (("implement", "--take-over"), 2, "usage", "to one package: name it"),
    (("status", "extra"), 2, "usage", "(extra)"),
    (("implement", "WP01", "WP02"), 2, "usage", "(WP02)"),
    (("merge", "WP01"), 1, "refused", "001-sync/WP01"),
    (("accept",), 2, "planning_error", "001-sync"),
    (("accept", "WP01", "WP01"), 1, "refused", "001-sync/WP01"),
    (("stauts",), 2, "usage", "'stauts'"),
]


@pytest.mark.parametrize(("arguments", "code", "kind", "named"), CASES)
@pytest.mark.whole(rows=15)
def test_odd_input_is_told_by_what_it_is(finalized, arguments, code, kind, named):
    error = refused(finalized, *arguments, code=code)
    assert error["code"] == kind
    assert named in error["message"]
    for part in (error["message"], error["cause"], error["hint"]):
        assert part
        assert not _UNFIT.search(part), part


def test_actor_of_the_environment_has_to_be_a_name(finalized):
    for name in ("ada\nbob", " ", ODD):
        ended = thence("work", "implement", "--json", cwd=finalized, env={"THENCE_ACTOR": name})
        assert ended.code == 2
        assert ended.json["error"]["message"].startswith("the name in THENCE_ACTOR is ")


def test_folder_that_is_gone_is_told(tmp_path):
    program = 'mkdir gone && cd gone && rmdir ../gone && exec "$0" work status --json'
    ended = subprocess.run(
        ["sh", "-c", program, THENCE], cwd=tmp_path, env=environment(), capture_output=True
    )
    assert ended.returncode == 1
    assert json.loads(ended.stdout)["error"]["hint"] == "go to a folder that is there"
