"""`thence prune`: the oldest files go where the user says, after a yes, and the log says so."""

import json
import re

import pytest
from tests.cli.installed import on_terminal, thence
from tests.log.pruned import filled, gunzipped, names

from thence.log.files.segment import CURRENT
from thence.log.open import open_log


@pytest.fixture
def log(tmp_path):
    filled(tmp_path / "a")
    return tmp_path


def run(folder, *arguments, log="a"):
    env = {"XDG_CACHE_HOME": str(folder / "cache")}
    return thence(*arguments, "--log", log, cwd=folder, env=env)


@pytest.mark.promise("A5")
def test_pruned_log_says_so_and_its_unpacked_archive_is_a_log(log):
    first = json.loads(run(log, "log", "--limit", "1", "--json").out)["event_id"]
    dry = run(log, "prune", "--keep-bytes", "5kB", "--archive", "old", "--dry-run")
    assert (dry.code, (log / "old").exists()) == (0, False)
    assert f"into {log / 'old'}" in dry.out
    ended = run(log, "prune", "--keep-bytes", "5kB", "--archive", "old", "--yes")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[:-1] == dry.out.splitlines()
    assert re.fullmatch(r"pruned \d+ events", ended.out.splitlines()[-1])
    verified = run(log, "verify", "--json").done()
    assert [note["code"] for note in verified.json["notes"]] == ["pruned"]
    why = run(log, "why", "noted")
    said = " ".join(why.out.split())
    assert "which is not in this log; events up to" in said
    assert "were pruned." in said
    assert "were pruned" in run(log, "redact", first, "--yes").failure(4)
    gunzipped(log / "old")
    shown = run(log, "show", first, log="old")
    assert (shown.code, shown.err) == (0, "")
    assert first in shown.out


def test_nothing_goes_without_a_yes(log):
    before = names(log / "a")
    assert "--yes" in run(log, "prune", "--before", "2100-01-01").failure(2)
    code, shown = on_terminal(
        log, "prune", "--before", "2100-01-01", "--log", "a", answer=(rb"\[y/N\]: ", b"n\n")
    )
    assert (code, "you did not agree" in shown) == (1, True)
    assert names(log / "a") == before
    code, shown = on_terminal(
        log, "prune", "--before", "2100-01-01", "--log", "a", answer=(rb"\[y/N\]: ", b"y\n")
    )
    assert (code, names(log / "a")) == (0, [CURRENT])


def test_json_tells_each_file_and_nothing_else(log):
    dry = run(log, "prune", "--before", "2100-01-01", "--dry-run", "--json").json
    files = dry["files"]
    assert [one["name"] for one in files] == names(log / "a")[:-1]
    assert (dry["pruned"], dry["events"]) == (False, sum(one["events"] for one in files))
    assert all(one["bytes"] == (log / "a" / one["name"]).stat().st_size for one in files)
    done = run(log, "prune", "--before", "2100-01-01", "--yes", "--json").json
    assert done == {**dry, "pruned": True}
    again = run(log, "prune", "--before", "2100-01-01", "--yes", "--json").json
    assert (again["pruned"], again["files"]) == (False, [])


def test_wrong_words_are_refused(log):
    for words in ((), ("--before", "1d", "--keep-bytes", "1")):
        assert run(log, "prune", *words).code == 2
    soon = run(log, "prune", "--before", "soon")
    assert (soon.code, soon.err.splitlines()[0]) == (2, "thence: could not read --before")
    for size in ("-1", "5 apples", ""):
        assert run(log, "prune", "--keep-bytes", size).code == 2
    sizes = ("1kB", "1KiB", "2MB", "1g", "7")
    assert all(run(log, "prune", "--keep-bytes", size, "--dry-run").code == 0 for size in sizes)


@pytest.mark.parametrize("vocabulary", ["work", "sim"])
def test_journal_and_run_are_refused_with_the_reason(tmp_path, vocabulary):
    open_log(tmp_path / "a", vocabulary=vocabulary).close()
    told = run(tmp_path, "prune", "--before", "1d", "--yes").failure(1)
    assert "which is read from its first event on" in told
    assert not (tmp_path / "a" / ".thence" / "prune.lock").exists()


def test_lines_without_numbers_keep_their_file(log):
    oldest = log / "a" / names(log / "a")[0]
    oldest.write_bytes(oldest.read_bytes() + b'{"event_id":"a","event_type":"theirs"}\n')
    ended = run(log, "prune", "--before", "2100-01-01", "--yes")
    assert f"{oldest.name} stays: it holds lines of other tools" in ended.err


def test_log_of_one_file_says_how_to_close_files(tmp_path):
    filled(tmp_path / "a", 2)
    ended = run(tmp_path, "prune", "--before", "2100-01-01", "--yes")
    assert ended.out == "nothing to prune\n"
    assert "rotate_after" in ended.err
