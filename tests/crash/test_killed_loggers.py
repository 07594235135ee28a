import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tests.cli.installed import Ended, environment, is_three_lines
from tests.cli.work.orchestra import is_alive
from tests.log.committers import until

ROOT = Path(__file__).resolve().parents[2]
KILLED = (sys.executable, "-m", "bench.killed")
# draws no life that ends before its first id, in the first six
SEED = 5

HEAD = """\
import os, signal, sys, uuid
file, start = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT), uuid.uuid4().hex
def write(text): os.write(file, text.encode())
def took(number): print(f"{start}-{number}", flush=True)
def record(number): return f'{{"id":"{start}-{number}","text":"abc"}}'
"""
PROGRAMS = {
    "honest": "write(record(1) + '\\n'); took(1)",
    "lying": "write(record(1) + '\\n'); took(f'1\\n{start}-2\\n{start}-3')",
    "tearing": "write(record(1) + '\\n' + record(2)[:25]); took(1)",
    "rotating": "os.rename(sys.argv[1], sys.argv[1] + start); write(record(1) + '\\n'); took(1)",
    "emptying": "os.truncate(file, 0); write(record(1) + '\\n'); took(1)",
    "by variable": "assert os.environ['THENCE_BENCH_FILE'] == sys.argv[1]; write('x\\n'); took(1)",
}


def killed(*arguments, cwd):
    """Run the harness to its end."""
    done = subprocess.run(
        [*KILLED, *map(str, arguments)],
        cwd=cwd,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def kill(tmp_path):
    """Kill a program that does one thing and then waits, three times."""

    def tried(body, *more, kills=3):
        program = tmp_path / "program.py"
        program.write_text(f"{HEAD}{body}\nsignal.pause()\n")
        command = f"{sys.executable} {program} {{file}}"
        head = ("--command", command, "--kills", kills, "--within", 0)
        return killed(*head, "--seed", SEED, "--json", *more, cwd=tmp_path)

    return tried


@pytest.mark.promise("P6")
@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("honest", (3, 3, 0, 0, 0, 0)),
        ("lying", (9, 3, 0, 6, 0, 0)),
        ("tearing", (3, 1, 2, 0, 3, 2)),
        ("rotating", (3, 3, 0, 0, 0, 0)),
        ("emptying", (3, 1, 0, 2, 0, 0)),
        ("by variable", (3, 0, 0, 3, 0, 0)),
    ],
)
def test_what_a_logger_kept_is_counted(kill, name, kept):
    ended = kill(PROGRAMS[name])
    words = ("acknowledged", "present", "damaged", "lost", "torn", "glued")
    assert tuple(ended.json[word] for word in words) == kept, ended.err
    is_whole = kept[0] == kept[1] and not kept[-1]
    assert (ended.code, ended.json["ok"]) == ((0, True) if is_whole else (3, False))
    assert (ended.json["kills"], ended.json["seed"]) == (3, SEED)


def test_table_says_in_the_end_what_was_not_kept(tmp_path, kill):
    kill(PROGRAMS["tearing"])
    command = f"{sys.executable} program.py {{file}}"
    head = ("--command", command, "--kills", 3, "--within", 0, "--seed", SEED)
    ended = killed(*head, cwd=tmp_path)
    assert ended.code == 3
    told = "kills 3 acknowledged 3 present 1 damaged 2 lost 0 torn 3 glued 2"
    assert [word for line in ended.lines[:-1] for word in line.split()[:2]] == told.split()
    told = "not ok: 2 acknowledged records missing, 2 half lines glued to what came next"
    assert ended.lines[-1] == told
    assert ended.err.startswith(f"killing 3 times, seed {SEED}: ")


def test_records_that_are_no_lines_are_read_by_a_command(tmp_path, kill):
    (tmp_path / "read.py").write_text("import sys; print(open(sys.argv[1]).read().split('+'))")
    ended = kill(
        "write(f'{start}-1+'); took(1)", "--read", f"{sys.executable} {tmp_path}/read.py {{file}}"
    )
    assert ended.code == 0
    assert (ended.json["present"], ended.json["torn"], ended.json["glued"]) == (3, None, None)
    (tmp_path / "read.py").write_text("import sys; sys.exit('no database')")
    ended = kill(
        "write(f'{start}-1+'); took(1)", "--read", f"{sys.executable} {tmp_path}/read.py {{file}}"
    )
    assert ended.code == 1
    assert "it said: no database" in ended.json["error"]["cause"]


def test_children_of_the_program_die_with_it(tmp_path, kill):
    ended = kill(
        "import subprocess\n"
        f"child = subprocess.Popen(['sleep', '600'])\nopen(r'{tmp_path}/children', 'a')"
        ".write(f'{child.pid}\\n')\nwrite(record(1) + '\\n'); took(1)",
        kills=1,
    )
    assert ended.code == 0
    child = int((tmp_path / "children").read_text())
    until(lambda: not is_alive(child))  # a death takes its moment


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ("write('x')", "it printed no id in 0.5 s"),
        ("sys.exit('no such logger')", "ended with 1 before it printed an id; it said: no such"),
        ("took(1); sys.exit(3)", "it ended with 3 before it was killed"),
        ("took(f'1\\n{start}-1')", "it printed an id twice"),
        ("print('short', flush=True)", "it printed 'short', which is not an id"),
        ("os.unlink(sys.argv[1]); took(1)", "it made no file"),
        ("took(1); os.close(1)", "it closed its stdout"),
    ],
)
def test_program_that_breaks_the_contract_is_told_of(kill, body, cause):
    has_time = "exit(3)" in body or "close(1)" in body
    waits_s = 0.5 if body == "write('x')" else 30
    ended = kill(body, "--within", 60 if has_time else 0, "--timeout", waits_s)
    assert ended.code == 1, ended.out
    assert ended.json["error"]["code"] == "program_failed"
    assert cause in ended.json["error"]["cause"]
    assert is_three_lines(ended.err)


@pytest.mark.parametrize(("command", "code"), [("./no-such-program", 1), ("", 2), ("'", 2)])
def test_command_that_names_no_program_is_told_of(tmp_path, command, code):
    ended = killed("--command", command, cwd=tmp_path)
    assert ended.code == code
    assert is_three_lines(ended.err)


def test_ctrl_c_kills_the_program_and_leaves_nothing(tmp_path):
    program = tmp_path / "program.py"
    os.mkfifo(tmp_path / "fifo")
    program.write_text(f"{HEAD}open(r'{tmp_path}/fifo', 'w')\nsignal.pause()\n")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    started = subprocess.Popen(
        [*KILLED, "--command", f"{sys.executable} {program} {{file}}"],
        env=environment(TMPDIR=str(temporary), PYTHONPATH=str(ROOT)),
        stderr=subprocess.PIPE,
    )
    assert started.stderr
    assert started.stderr.readline().startswith(b"killing 100 times")
    (tmp_path / "fifo").read_bytes()  # until the program runs
    os.kill(started.pid, signal.SIGINT)
    _, err = started.communicate(timeout=60)
    assert (started.returncode, err.strip()) == (130, b"interrupted")
    assert not list(temporary.iterdir())


@pytest.mark.promise("W12")
def test_log_of_thence_keeps_what_it_acknowledged(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import pathlib, sys, thence\n"
        "log = thence.open(pathlib.Path(sys.argv[1]).parent)\n"
        "while True:\n    print(log.append('worked', {'text': 'x' * 500}).event_id, flush=True)\n"
    )
    command = f"{sys.executable} {program} {{file}}"
    ended = killed("--command", command, "--kills", 15, "--json", cwd=tmp_path)
    print(ended)
    assert ended.code == 0
    assert ended.json["present"] == ended.json["acknowledged"] > 15
    assert ended.json["glued"] == 0
