import os
import re
import signal
import sys

import click
import pytest
from tests.cli.hostile import commands
from tests.cli.installed import THENCE, begin, in_python, in_shell, is_three_lines, ran, thence
from tests.cli.warm import warm

from thence.cli.frame import root

MORE_THAN_A_PIPE_HOLDS = 1024 * 1024
COMMANDS = dict(commands(root))
HEAVY = ("structlog", "ruamel", "pydantic", "rich", "asyncio", "thence.sim")


@pytest.mark.promise("P6")
@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_helps_in_both_spellings_with_an_example(tmp_path, path):
    long, short = (warm(*path, option, cwd=tmp_path) for option in ("--help", "-h"))
    assert long == short
    assert (long.code, long.err) == (0, "")
    _, heading, example = long.out.partition("Example:\n")
    assert heading
    assert f"thence {' '.join(path)}".strip() in example
    assert max(map(len, long.lines)) <= 80


@pytest.mark.promise("P6")
@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_empty_value_is_wrong_usage_of_every_argument_and_option(path):
    command = COMMANDS[path]
    for empty in command.params:
        words = []
        for one in command.params:
            is_argument = isinstance(one, click.Argument)
            if one is empty or one.required or (is_argument and isinstance(empty, click.Argument)):
                usual = __file__ if getattr(one.type, "exists", False) else "1"
                value = getattr(one.type, "choices", (usual,))[0]
                words += [*one.opts[: not is_argument], "" if one is empty else value]
        if not getattr(empty, "is_flag", False):
            with pytest.raises(click.BadParameter) as refused:
                command.make_context("thence", words)
            assert refused.value.param is empty


def test_list_of_commands_says_what_each_command_says_of_itself():
    context = click.Context(root)
    for name, (_, line) in root.table.items():
        command = root.get_command(context, name)
        assert (command.help or "").splitlines()[0] == line


@pytest.mark.parametrize("path", [(), ("sync",), ("server", "user")], ids=" ".join)
def test_group_alone_helps(tmp_path, path):
    assert thence(*path, cwd=tmp_path) == thence(*path, "--help", cwd=tmp_path)


def test_version_is_told_as_text_and_as_json(tmp_path):
    told = thence("--version", "--json", cwd=tmp_path).json
    assert list(told) == ["version", "python", "platform"]
    text = f"thence {told['version']} (Python {told['python']}, {told['platform']})\n"
    assert thence("--version", cwd=tmp_path).out == text
    misplaced = thence("--json", "log", cwd=tmp_path)
    assert misplaced.code == 2
    assert misplaced.json["error"]["code"] == "usage"


def test_help_lists_each_command_once_below_what_it_is_for(tmp_path):
    ended = thence("--help", cwd=tmp_path)
    headings = [line for line in ended.lines if re.fullmatch(r"[A-Z][a-z ]+:", line)]
    about = ["Ask:", "Record:", "Simulate:", "Coordinate:", "Share:", "Look after:", "About:"]
    assert headings == ["Options:", *about]
    names = [name for line in ended.lines for name in re.findall(r"^  ([a-z, ]+?)  +[A-Z]", line)]
    assert sorted(", ".join(names).split(", ")) == sorted(root.table)
    assert "log, query" in names


def test_option_that_two_commands_share_has_one_name(tmp_path):
    for name in ("log", "tail", "timeline"):
        assert "-n, --last N" in warm(name, "--help", cwd=tmp_path).out
    for name in ("log", "export"):
        assert "--limit N" in warm(name, "--help", cwd=tmp_path).out
        assert "A page: the first N events" in warm(name, "--help", cwd=tmp_path).out
    assert warm("timeline", "--limit", 3, cwd=tmp_path).code == 2


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["--verison"], "--version"),
        (["log", "--limt", "3"], "--limit"),
        (["wy"], "why"),
        (["lgo"], "log"),
        (["sim", "rnu"], "run"),
        (["log", "--foo"], None),
        (["log", "--limit"], None),
        (["frobnicate"], None),
        (["why"], None),
    ],
)
def test_only_what_is_alike_is_suggested(tmp_path, arguments, suggestion):
    ended = warm(*arguments, cwd=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert is_three_lines(ended.err)
    start = f"did you mean {suggestion}?" if suggestion else "`thence"
    _, why, hint = ended.err.splitlines()
    assert re.match("  why:  expected: thence .*\\[OPTIONS\\]", why)
    assert hint.startswith(f"  next: {start}")


def test_help_names_the_extra_that_a_command_needs(tmp_path):
    assert sum("It needs pip install" in one.epilog for one in COMMANDS.values()) > 10
    for words, extra in (("server", "'thence[server]'."), ("sync", "'thence[sync]' for a server.")):
        assert f"It needs pip install {extra}" in warm(words, "--help", cwd=tmp_path).out


def test_error_has_a_traceback_with_debug_only(tmp_path):
    plain = thence("why", "@last", cwd=tmp_path)
    assert is_three_lines(plain.err)
    assert "Traceback" not in plain.err
    debug = thence("why", "@last", "--debug", cwd=tmp_path)
    assert "Traceback" in debug.err
    assert debug.code == plain.code == 4


def test_bug_of_ours_is_told_in_three_lines(tmp_path):
    script = (
        "import sys; from thence.cli import frame; from thence.cli.commands import about\n"
        "about.completion_command.callback = lambda **_: 1 / 0\n"
        "sys.exit(frame.run(['completion', 'bash', '--json']))"
    )
    done = in_python(script, cwd=tmp_path)
    done.failure(1)
    assert '"code":"internal_error"' in done.out


def make_many(folder):
    line = '{{"event_id":"{:026}","event_type":"note"}}\n'
    (folder / "events.jsonl").write_text("".join(map(line.format, range(20_000))))


def test_closed_pipe_is_quiet(tmp_path):
    make_many(tmp_path)
    for arguments in ("log", "log --json"):
        done = in_shell(f"'{THENCE}' {arguments} | head -1", tmp_path)
        assert (done.code, done.err, len(done.lines)) == (0, "", 1)


@pytest.mark.parametrize(
    ("limit", "to"),
    [
        ("true", "1< /dev/null"),
        ("ulimit -f 0", "> taken"),
        ("export PYTHONUNBUFFERED=1", "1< /dev/null"),
    ],
    ids=["not to be written", "no room", "unbuffered"],
)
@pytest.mark.parametrize(
    "arguments",
    ["log --log orders", "log --log orders --json", "show --log orders @last", "nonsense --json"],
)
@pytest.mark.whole(rows=6)
def test_stdout_that_takes_no_more_is_named_and_told_once(tmp_path, orders, arguments, limit, to):
    done = in_shell(f"{limit}; '{THENCE}' {arguments} {to}", tmp_path)
    is_misuse = "nonsense" in arguments
    assert done.code == (2 if is_misuse else 1)
    assert is_three_lines(done.err)
    assert len(done.err.splitlines()) == 3
    assert ("could not write to stdout" in done.err) is not is_misuse


def test_closed_stdout_is_no_failure(tmp_path, orders):
    done = in_shell(f"'{THENCE}' log --log orders >&-", tmp_path)
    assert (done.code, done.err) == (0, "")


@pytest.mark.promise("P7")
def test_windows_is_told_of_wsl(tmp_path):
    script = (
        "import sys; from thence.cli.frame import run\n"
        "sys.platform = 'win32'; sys.exit(run(['log', '--log', 'orders']))"
    )
    assert "WSL" in in_python(script, cwd=tmp_path).failure(1)


def test_ctrl_c_ends_quietly_with_130(tmp_path):
    started = begin(THENCE, "append", "note", "--payload", "-", "--log", "new", cwd=tmp_path)
    assert started.stdin
    started.stdin.write("x" * MORE_THAN_A_PIPE_HOLDS)  # returns when the command reads
    started.stdin.flush()
    os.kill(started.pid, signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert (started.returncode, out) == (130, "")
    assert err.strip() == "interrupted"


@pytest.mark.parametrize(
    ("raised", "told"), [("KeyboardInterrupt", (130, "interrupted")), ("SystemExit(7)", (7, ""))]
)
def test_end_by_a_signal_that_a_callback_swallowed_comes_again(tmp_path, raised, told):
    script = (
        "import sys, time; from thence.cli import main; from thence.cli.commands import about\n"
        f"class Callback:\n    def __del__(self): raise {raised}\n"
        "def work(**_):\n    Callback()\n    time.sleep(60)\n"
        "about.completion_command.callback = work\n"
        "sys.exit(main.main(['completion', 'bash']))"
    )
    done = in_python(script, cwd=tmp_path)
    assert (done.code, done.err.strip()) == told


def test_ctrl_c_that_a_callback_swallowed_when_all_is_done_does_not_kill_the_process(tmp_path):
    script = (
        "import sys, time; from thence.cli import main; from thence.cli.commands import about\n"
        "class Callback:\n    def __del__(self): raise KeyboardInterrupt\n"
        "about.completion_command.callback = lambda **_: Callback() and None\n"
        "code = main.main(['completion', 'bash'])\n"
        "time.sleep(0.1)  # the time that Python takes to end\n"
        "sys.exit(code)"
    )
    done = in_python(script, cwd=tmp_path)
    assert (done.code, done.err) == (0, "")


@pytest.mark.promise("P7")
@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["append", "--log", "new", "note"], ["why", "@last", "--log", "orders"]],
    ids=["help", "append", "why"],
)
def test_cold_start_imports_no_guest(tmp_path, orders, arguments):
    done = ran(sys.executable, "-X", "importtime", "-m", "thence", *arguments, cwd=tmp_path)
    imported = {line.rpartition("|")[2].strip() for line in done.err.splitlines()}
    assert done.code == 0
    assert "click" in imported
    assert not {name for name in imported for heavy in HEAVY if f"{name}.".startswith(f"{heavy}.")}
    if arguments == ["--help"]:
        assert "msgspec" not in imported
