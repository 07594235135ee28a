import os

import pytest
from tests.cli.installed import is_three_lines, thence
from tests.cli.warm import warm
from tests.git.repositories import begin_work, git, make_repository
from tests.trace.agents.played import PlayedRepository, Session

import thence as package
from thence.core.new_event import HostEvent
from thence.trace.agents.intake import make_log


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
    "name", ["older", "output/older", "output/older/events.jsonl", "output/older/.thence/log.json"]
)
def test_log_is_named_by_run_folder_or_one_of_its_files(runs, name):
    assert text_of(warm("show", "@last", "--json", "--log", name, cwd=runs)) == "older"


def test_flag_goes_before_environment_and_that_before_this_folder(runs):
    here, env = runs / "output" / "newer", {"THENCE_LOG": str(runs / "output" / "older")}
    assert text_of(warm("show", "@last", "--json", cwd=here)) == "newer"
    assert text_of(warm("show", "@last", "--json", cwd=here, env=env)) == "older"
    by_flag = warm("show", "@last", "--json", "--log", ".", cwd=here, env=env)
    assert text_of(by_flag) == "newer"


def test_where_no_log_is_found_those_in_this_folder_are_named(tmp_path):
    run_of(tmp_path, "orders", "order", 1_000)
    told = warm("show", "@last", cwd=tmp_path).failure(4)
    assert "next: name one that is here: --log orders\n" in told


def test_root_of_runs_is_taken_from_the_environment(runs):
    env = {"THENCE_ROOT": "elsewhere"}
    run_of(runs / "elsewhere", "third", "third", 3_000)
    assert text_of(warm("show", "@last", "--json", cwd=runs, env=env)) == "third"


def test_without_a_log_the_places_looked_at_are_named(tmp_path):
    told = warm("log", cwd=tmp_path).failure(4)
    assert str(tmp_path) in told
    assert str(tmp_path / "output") in told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nowhere", "nowhere"),
        ("output/older/nothing", "output/older/nothing"),
        ("output", "output/newer, output/older"),
        ("bare", "there is no events.jsonl"),
        ("notes.txt", "there is no events.jsonl"),
    ],
)
def test_name_without_a_log_is_not_found(runs, name, told):
    (runs / "notes.txt").write_text("hello")
    (runs / "bare").mkdir()
    assert told in warm("log", "--log", name, cwd=runs).failure(4)


def test_logs_that_are_here_are_named_as_an_option_or_an_argument_takes_them(runs):
    for command in (("show", "@last", "--log", "nope"), ("diff", "older", "nope")):
        ended = warm(*command, cwd=runs)
        assert ended.code == 4
        assert ended.err.endswith("  next: name one that is here: output/newer, output/older\n")


def test_reading_makes_nothing(tmp_path):
    for command in (["log"], ["verify"], ["why", "@last"]):
        assert warm(*command, "--log", "new", cwd=tmp_path).code == 4
    assert not list(tmp_path.iterdir())


def test_empty_name_of_a_log_and_a_file_that_is_none_are_refused(runs):
    (runs / "notes.txt").write_text("hello")
    for name, code in (("", 2), ("notes.txt", 4)):
        warm("append", "note", "--log", name, cwd=runs).failure(code)


def test_run_that_may_not_be_entered_hides_no_other(runs):
    folder = runs / "output" / "newer"
    folder.chmod(0)
    ended = thence("show", "@last", "--json", cwd=runs, obeys_permissions=True)
    folder.chmod(0o755)
    assert text_of(ended) == "older"


@pytest.fixture
def shop(tmp_path):
    """Return a repository with a log of agents, a journal, and two runs."""
    played = PlayedRepository(tmp_path / "shop", {"pay.py": "a = 1\n"})
    session = Session(played, "s1", ask="Make it two")
    session.edit("pay.py", "a = 1", "a = 2")
    session.commit("Two")
    played.log.append("order.paid", subject="order/1")
    played.log.close()
    begin_work(played.top)
    assert warm("work", "finalize-tasks", "--add", "Read the spec", cwd=played.top).code == 0
    for name, time in ("older", 1_000), ("newer", 2_000):
        with package.open(played.top / "output" / name) as log:
            log.append("claim", {"of": name}, subject="agent/south/claim")
            log.append("order.paid", {"of": name}, subject=f"order/{name}")
        os.utime(played.top / "output" / name / ".thence" / "log.json", ns=(time, time))
    return played.top


@pytest.mark.promise("A5g")
def test_first_log_that_has_what_is_named_answers_and_is_named(shop):
    why = warm("why", "agent/south/claim", cwd=shop).done()
    assert "log: output/newer (the newest run)\n" in why.err
    assert warm("effects", "agent/south/claim", cwd=shop).code == 0
    package_log = warm("query", "--type", "WP*", "--count", cwd=shop)
    assert int(package_log.out) > 0
    assert "(the journal of this project)" in package_log.err
    for command in ("stats", "tail", "timeline"):
        ended = warm(command, "--subject", "agent/south/claim", cwd=shop)
        assert "log: output/newer (the newest run)\n" in ended.err
    assert "the agents' log" in warm("why", '"Make it two"', cwd=shop).err


def test_other_logs_that_have_it_too_are_named_with_the_option(shop):
    for words in ("show", "why"):
        ended = warm(words, "order.paid", cwd=shop).done()
        first = next(line for line in ended.err.splitlines() if line.startswith("log: "))
        assert first.endswith("(the agents' log); it is also in --log output/newer")
    assert warm("why", "order.paid", "--log", "output/newer", cwd=shop).code == 0


def test_no_large_index_is_made_to_name_other_logs(shop):
    with package.open(shop / "output" / "newer") as log:
        log.append_many([HostEvent("note", {"text": "x" * 700}) for _ in range(5_000)])
    ended = warm("why", "order.paid", cwd=shop).done()
    assert "output/newer" not in ended.err
    assert not (shop / "output" / "newer" / ".thence" / "index.db").exists()
    assert "output/newer" in warm("why", "agent/south/claim", cwd=shop).err


def test_line_and_commit_are_for_the_log_of_agents_from_anywhere(shop, tmp_path):
    sha = git(shop, "rev-parse", "HEAD")
    with package.open(tmp_path / "mine") as log:
        log.append("note", {"text": "hello"})
    line = warm("why", "../shop/pay.py:1", cwd=tmp_path / "mine")
    assert "claude-code edited pay.py" in line.out
    for name in ("pay.py:1", sha[:12], "commit/HEAD"):
        ended = warm("why", name, cwd=shop).done()
        assert "the agents' log" in ended.err


def test_what_names_nothing_asks_the_first_log_with_an_event(shop):
    assert "claude-code" in warm("log", cwd=shop).out
    folder = make_repository(shop.parent / "new")
    make_log(folder / ".git" / "thence" / "agents")
    assert warm("log", cwd=folder).err.endswith("no events\n")
    begin_work(folder)
    assert warm("work", "finalize-tasks", "--add", "Read the spec", cwd=folder).code == 0
    assert "secrets are masked" in " ".join(warm("doctor", cwd=folder).out.split())
    for command in (["log"], ["last"], ["stats"], ["why", "@last"], ["tail"]):
        ended = warm(*command, cwd=folder).done()
        assert ended.out
    assert warm("append", "note", cwd=folder).code == 0
    assert warm("log", "--log", ".git/thence/agents", "--count", cwd=folder).out == "1\n"


def test_what_is_nowhere_names_the_logs_without_it_and_those_to_ask(shop):
    ended = warm("why", "order/999", cwd=shop)
    assert ended.code == 4
    assert is_three_lines(ended.err.split("\n", 1)[1] if "log: " in ended.err else ended.err)
    assert "; nor is it in --log .git/thence/" in ended.err
    assert "ask another log: --log output/older" in ended.err
    named = warm("why", "order/newer", "--log", "output/older", cwd=shop)
    named.failure(4)
    assert "--log .git/thence/agents, --log .git/thence/" in named.err
    assert not named.err.startswith("log: ")


def test_next_step_of_a_missing_log_fits_the_question(tmp_path):
    folder = make_repository(tmp_path / "bare", {"pay.py": "a = 1\n"})
    for command in (["why", "pay.py:1"], ["blame", "pay.py"], ["why", "commit/HEAD"]):
        assert "thence hook install claude-code (or codex)" in warm(*command, cwd=folder).failure(4)
    assert "thence append --log FOLDER" in warm("log", cwd=folder).err
    assert "sim list" not in warm("log", "--log", "agent", cwd=folder).err
