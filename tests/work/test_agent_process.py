"""An agent runs alone with its prompt, and nothing of its process group outlives its run."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from tests.work.agents import (
    LONG_S,
    NO_CLAIM,
    WAIT_S,
    children,
    ended,
    living,
    order,
    script,
    there,
)

from thence.work.orchestrate import agent_process as running
from thence.work.orchestrate.agent_process import OUTPUT_BYTES_MAX, AgentRun, last_words


def ran(folder, *steps, **more):
    """Run an agent that takes some steps to its end."""
    return ended(AgentRun(order(folder, script(folder, *steps), **more)))


def test_agent_has_its_prompt_and_its_variables_and_nothing_of_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Ada")
    prompt = os.urandom(300_000)
    told = script(tmp_path, ["describe", "told.json"], ["prompt", "prompt"])
    variables = {"odd name": "a=b", "A.b@c:d": "ö\n", "BIG": "x" * 100_000, "EMPTY": ""}
    words = ("", "a b", "'\"$HOME`*", "-n", "ö\n", "{}")
    kept = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(kept, True)
    run = AgentRun(order(tmp_path, told, env=variables, prompt=prompt))
    assert ended(run).how == "done"
    os.close(kept)
    said = json.loads((tmp_path / "told.json").read_text())
    assert said["descriptors"] == [0, 1, 2, NO_CLAIM]
    assert (said["is_leader"], said["has_terminal"], said["blocked"]) == (True, False, [])
    assert said["folder"] == said["variables"]["PWD"] == str(tmp_path)
    assert variables.items() <= said["variables"].items()
    assert said["variables"]["PATH"] == os.environ["PATH"]
    assert said["variables"]["GIT_AUTHOR_NAME"] == "Ada"
    assert "GIT_DIR" not in said["variables"]
    assert (tmp_path / "prompt").read_bytes() == prompt
    assert (tmp_path / "script.json.*.implementation.1").exists()
    show = "import sys; print(sys.argv[1:])"
    run = AgentRun(order(tmp_path, told, argv=(sys.executable, "-c", show, *words)))
    assert ended(run).tail == str(list(words))


@pytest.mark.parametrize(
    ("steps", "how", "code", "number"),
    [
        ([], "done", 0, None),
        ([["exit", 3]], "failed", 3, None),
        ([["exit", 127]], "failed", 127, None),
        ([["crash", "SIGSEGV"]], "failed", None, signal.SIGSEGV),
        ([["crash", "SIGKILL"]], "failed", None, signal.SIGKILL),
    ],
)
def test_agent_that_ends_by_itself_is_done_or_failed(tmp_path, steps, how, code, number):
    found = ran(tmp_path, ["print", "first\nlast"], *steps)
    assert found[:3] == (how, code, number)
    assert found.tail == "first\nlast"
    assert found.seconds > 0


@pytest.mark.parametrize(
    "more",
    [
        {"argv": ("nowhere-to-be-found",)},
        {"argv": ("./plain",)},
        {"argv": ("./lost",)},
        {"argv": ("git", "a\0b")},
        {"env": {"A=B": "C"}},
        {"folder": Path("/nowhere")},
        {"output": Path("/")},
        {"argv": ("git", "x" * 4_000_000)},
    ],
)
def test_agent_that_cannot_be_started_is_told_with_the_reason(tmp_path, more):
    (tmp_path / "plain").write_text("no program\n")
    (tmp_path / "lost").write_text("#!/nowhere/to/be/found\n")
    (tmp_path / "lost").chmod(0o755)
    found = AgentRun(order(tmp_path, script(tmp_path), **more)).poll()
    assert found[:3] == ("not_started", None, None)
    assert found.tail
    assert not list(tmp_path.glob("script.json.*"))


def test_megabytes_go_to_the_file_and_too_many_end_the_agent(tmp_path):
    found = ran(tmp_path, ["flood", 8_000_000], ["print", "\nlast"])
    assert (found.how, found.tail.splitlines()[-1]) == ("done", "last")
    assert (tmp_path / "output").stat().st_size == 8_000_006
    found = ran(tmp_path, ["fork", "child", [["flood", -1]]], ["flood", -1])
    assert found.how == "too_much_output"
    assert 0 < len(found.tail) <= 2_000
    assert (tmp_path / "output").stat().st_size == OUTPUT_BYTES_MAX
    assert not living(str(tmp_path))
    assert ran(tmp_path, ["flood", OUTPUT_BYTES_MAX + 1]).how == "too_much_output"


def test_hanging_agent_is_ended_at_its_time(tmp_path, monkeypatch):
    steps = (["ignore", "SIGTERM"], ["note", str(tmp_path / "ready")], ["hang"])
    found = ran(tmp_path, *steps, timeout_s=2.0)
    assert found.how == "timed_out"
    assert found.seconds >= 2.0
    assert not living(str(tmp_path))
    monkeypatch.setattr(running, "GRACE_S", WAIT_S)
    ready = ["note", str(tmp_path / "asks")]
    told = script(tmp_path, ["on_term", [["print", "asked"], ["exit", 0]]], ready, ["hang"])
    run = AgentRun(order(tmp_path, told, timeout_s=3.0))
    there(tmp_path / "asks")  # nobody polls before, so its time is not up
    found = ended(run)
    assert (found.how, found.code, found.tail) == ("timed_out", 0, "asked")


def test_silent_agent_stalls_and_one_that_prints_or_commits_does_not(tmp_path):
    assert ran(tmp_path, ["hang"], stall_s=0.5).how == "stalled"
    told = script(tmp_path, ["hang"])
    commits = iter(range(1_000_000))
    run = AgentRun(order(tmp_path, told, stall_s=0.2, timeout_s=2.0))
    assert ended(run, lambda: next(commits)).how == "timed_out"
    run = AgentRun(order(tmp_path, told, stall_s=0.2))
    assert ended(run, lambda: "the same commit").how == "stalled"


def test_output_keeps_an_agent_from_stalling(tmp_path):
    told = script(tmp_path, ["fork", "child", [["beat", "/dev/stdout"]]], ["hang"])
    run = AgentRun(order(tmp_path, told, timeout_s=6.0, stall_s=5.5))
    while not (tmp_path / "output").stat().st_size:  # nobody polls before, so it stalls later
        time.sleep(0.01)
    assert ended(run).how == "timed_out"


def test_children_that_an_agent_leaves_behind_are_ended(tmp_path):
    ready = tmp_path / "ready"
    left = [["ignore", "SIGTERM"], ["note", str(ready)], ["hang"]]
    found = ran(tmp_path, ["fork", "child", left], ["wait_for", str(ready)], ["exit", 5])
    assert found[:2] == ("failed", 5)
    assert not living(str(tmp_path))


def test_stopped_agent_is_asked_first_and_its_children_too(tmp_path):
    files = [tmp_path / name for name in ("one", "two", "three")]

    def steps(file: Path) -> list[list]:
        asked = ["on_term", [["append", f"{file}.asked", "asked"], ["exit", 4]]]
        return [asked, ["note", str(file)], ["hang"]]

    forks = [["fork", "child", steps(file)] for file in files[:2]]
    told = script(tmp_path, *forks, *steps(files[2]))
    run = AgentRun(order(tmp_path, told))
    there(*files)
    run.stop(LONG_S)
    found = ended(run)
    assert found[:3] == ("killed", 4, None)
    assert [Path(f"{file}.asked").read_text() for file in files] == ["asked"] * 3
    run.stop(0)
    assert run.poll() is found


def test_stop_kills_after_the_grace_or_when_told_again(tmp_path):
    ready = tmp_path / "ready"
    told = script(tmp_path, ["ignore", "SIGTERM"], ["note", str(ready)], ["hang"])
    for graces in ((0,), (0.3,), (LONG_S, 0)):
        run = AgentRun(order(tmp_path, told))
        there(ready)
        for grace_s in graces:
            run.stop(grace_s)
        assert ended(run)[:3] == ("killed", None, signal.SIGKILL)
        ready.unlink()


def test_stop_of_an_agent_that_has_ended_changes_nothing(tmp_path):
    run = AgentRun(order(tmp_path, script(tmp_path, ["exit", 7])))
    os.waitid(os.P_PID, run.pid, os.WEXITED | os.WNOWAIT)  # nobody has looked yet
    run.stop(0)
    assert ended(run)[:2] == ("failed", 7)


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


def test_runs_leave_no_descriptor_and_no_process_behind(tmp_path):
    told = script(tmp_path)
    more = ({}, {"argv": ("nowhere",)}, {"folder": tmp_path / "gone"}, {"output": tmp_path})
    before, known = descriptors(), children()
    for each in (*more, *more):
        ended(AgentRun(order(tmp_path, told, **each)))
    assert descriptors() == before
    assert set(children()) <= set(known)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        (b"", ""),
        (b"one\r\ntwo\n\n", "one\ntwo"),
        (b"10 %\r50 %\r100 %\n", "100 %"),
        (b"10 %\r50 %\r", "50 %"),
        (b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07end", "red end"),
        (b"\xff\x00\x07a\tb", "\ufffd  a b"),
        (b"x" * 3_000, "x" * 2_000),
        (b"y" * 1_000 + b"\n" + b"x" * 1_500, "x" * 1_500),
    ],
)
def test_last_words_are_short_and_printable(output, said):
    assert last_words(output) == said
