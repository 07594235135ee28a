import os

import pytest
from tests.cli.installed import is_three_lines, thence
from tests.cli.warm import warm

import thence as package


def run_of(root, name, text, made_ns):
    with package.open(root / name) as log:
        log.append("note", {"text": text})
    os.utime(root / name / ".thence" / "log.json", ns=(made_ns, made_ns))


def text_of(ended):
    assert ended.code == 0, ended.err
    return ended.json["payload"]["text"]


@pytest.fixture
def runs(tmp_path):
    run_of(tmp_path / "output", "older", "older", 1_000)
    run_of(tmp_path / "output", "newer", "newer", 2_000)
    return tmp_path


def test_newest_run_is_taken_and_named_on_stderr(runs):
    ended = warm("show", "@last", "--json", cwd=runs)
    assert text_of(ended) == "newer"
    assert ended.err == "log: output/newer (the newest run)\n"
    assert warm("show", "@last", "--json", "-q", cwd=runs).err == ""


@pytest.mark.parametrize(
    "name",
    ["older", "output/older", "output/older/events.jsonl", "output/older/.thence/log.json"],
)
def test_log_is_named_by_run_folder_or_one_of_its_files(runs, name):
    assert text_of(warm("show", "@last", "--json", "--log", name, cwd=runs)) == "older"


def test_flag_goes_before_environment_and_that_before_this_folder(runs):
    here, env = runs / "output" / "newer", {"THENCE_LOG": str(runs / "output" / "older")}
    assert text_of(warm("show", "@last", "--json", cwd=here)) == "newer"
    assert text_of(warm("show", "@last", "--json", cwd=here, env=env)) == "older"
    by_flag = warm("show", "@last", "--json", "--log", ".", cwd=here, env=env)
    assert text_of(by_flag) == "newer"


def test_root_of_runs_is_taken_from_the_environment(runs):
    env = {"THENCE_ROOT": "elsewhere"}
    run_of(runs / "elsewhere", "third", "third", 3_000)
    assert text_of(warm("show", "@last", "--json", cwd=runs, env=env)) == "third"


def test_without_a_log_the_places_looked_at_are_named(tmp_path):
    ended = warm("log", cwd=tmp_path)
    assert ended.code == 4
    assert is_three_lines(ended.err)
    assert str(tmp_path) in ended.err
    assert str(tmp_path / "output") in ended.err


def test_folder_of_runs_names_the_runs_in_it(runs):
    ended = warm("log", "--log", "output", cwd=runs)
    assert ended.code == 4
    assert "output/newer, output/older" in ended.err


@pytest.mark.parametrize("name", ["nowhere", "../output/older", "output/older/nothing", ""])
def test_name_without_a_log_is_not_found(runs, name):
    (runs / "inside").mkdir()
    ended = warm("show", "@last", "--log", name or "inside", cwd=runs / "inside")
    assert ended.code == (0 if name == "../output/older" else 4)


def test_reading_makes_nothing(tmp_path):
    for command in (["log"], ["verify"], ["why", "@last"]):
        assert warm(*command, "--log", "new", cwd=tmp_path).code == 4
    assert not list(tmp_path.iterdir())


def test_empty_name_of_a_log_is_refused(runs):
    ended = warm("append", "note", "--log", "", cwd=runs)
    assert ended.code == 2
    assert is_three_lines(ended.err)


def test_run_that_may_not_be_entered_hides_no_other(runs):
    folder = runs / "output" / "newer"
    folder.chmod(0)
    ended = thence("show", "@last", "--json", cwd=runs, obeys_permissions=True)
    folder.chmod(0o755)
    assert text_of(ended) == "older"


def test_file_that_is_no_part_of_a_log_and_folder_without_one_are_not_found(runs):
    (runs / "notes.txt").write_text("hello")
    (runs / "bare").mkdir()
    for name in ("notes.txt", "bare"):
        ended = warm("log", "--log", name, cwd=runs)
        assert ended.code == 4
        assert "there is no events.jsonl" in ended.err
    assert warm("append", "note", "--log", "notes.txt", cwd=runs).code == 4
