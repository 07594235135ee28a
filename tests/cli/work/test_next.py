"""`work next`: each package that is ready is taken by exactly one of all who ask."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.cli.work.projects import done, finalized_project, work
from tests.work.existing_projects import existing

READY = 10
AT_ONCE = 16


@pytest.mark.promise("L14")
def test_each_package_is_taken_exactly_once_and_the_rest_get_exit_code_4(tmp_path):
    tasks = "\n".join(f"## Work Package WP{n:02}: No {n}\n" for n in range(1, READY + 1))
    repo = finalized_project(tmp_path / "r", tasks)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ended = list(
            pool.map(
                lambda number: work(repo, "next", "--actor", f"agent-{number}", "--json"),
                range(AT_ONCE),
            )
        )
    codes = sorted(each.code for each in ended)
    assert codes == [0] * READY + [4] * (AT_ONCE - READY), [each.err for each in ended]
    packages = [each.json["package"] for each in ended if each.code == 0]
    assert all(each.json["package"] is None for each in ended if each.code == 4)
    (feature,) = done(repo, "status", "--json").json["features"]
    held = {each["wp_id"]: each["agent"] for each in feature["lanes"]["doing"]}
    assert {each["wp_id"]: each["agent"] for each in packages} == held
    assert len(held) == READY
    assert feature["conflicts"] == []


def test_packages_come_in_order_and_only_when_they_can_be_begun(tmp_path):
    repo = finalized_project(tmp_path / "r")
    assert done(repo, "next").lines[0] == "WP01 of 001-sync is yours: First"
    ended = work(repo, "next")
    assert (ended.code, ended.err) == (4, "")
    assert ended.lines == ["nothing is ready", "WP02 of 001-sync waits for WP01"]


def test_features_that_were_never_brought_in_are_told(tmp_path):
    repo = existing(tmp_path / "r")
    ended = work(repo, "next")
    assert ended.code == 4
    assert ended.lines[-2:] == ["not in the log yet: 028-sync", "next: thence work finalize-tasks"]
    done(repo, "finalize-tasks")
    assert done(repo, "next", "--json").json["package"]["wp_id"] == "WP03"
