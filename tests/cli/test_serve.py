"""The command `serve` as a user has it: it says where it is, answers, and ends."""

import json
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import pytest
from tests.cli.installed import THENCE, begin, in_python, is_three_lines, thence
from tests.git.repositories import make_repository
from tests.log.committers import until
from tests.server.runs import foreign, make_run
from tests.server.serving import serving
from tests.tiers import tenth

from thence.server.running import PORT, listening
from thence.trace.agents import fired

pytestmark = pytest.mark.xdist_group("ports")


def started(root: Path, *arguments: str) -> subprocess.Popen[str]:
    return begin(THENCE, "serve", root, *arguments, cwd=root)


def ended(process: subprocess.Popen[str], number: int) -> tuple[int, str, str]:
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.promise("P6", "Q8")
def test_address_is_the_first_line_and_the_example_works(tmp_path: Path) -> None:
    make_run(tmp_path, "run", count=3)
    process = started(tmp_path, "--port", "0")
    address = process.stdout.readline().strip()
    told = process.stderr.readline()
    assert told.endswith(f"try: curl {address}/simulations\n")
    assert process.stderr.readline() == "Ctrl-C stops it\n"
    example = told.split("try: ")[1].split()
    answer = subprocess.run([*example, "-s"], capture_output=True, check=True).stdout
    assert [entry["id"] for entry in json.loads(answer)["simulations"]] == ["run"]
    assert ended(process, signal.SIGINT) == (130, "", "")


def test_without_runs_in_output_the_logs_of_this_folder_are_served(tmp_path: Path) -> None:
    make_run(tmp_path, "orders", count=3)
    process = begin(THENCE, "serve", "--port", "0", cwd=tmp_path)
    address = process.stdout.readline().strip()
    with urlopen(f"{address}/simulations") as answer:
        assert [entry["id"] for entry in json.load(answer)["simulations"]] == ["orders"]
    assert ended(process, signal.SIGINT)[0] == 130


def test_unix_socket_is_for_a_proxy_and_a_dead_one_is_replaced(tmp_path: Path) -> None:
    make_run(tmp_path, "run", count=3)
    path = tmp_path / "thence.sock"
    for _ in range(2):  # the first leaves its file, as a killed server does
        process = started(tmp_path, "--unix", str(path), "--json")
        assert json.loads(process.stdout.readline())["url"] == f"unix:{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        told = process.stderr.readline()
        asked = told.split("try: ")[1].split()
        answer = subprocess.run(
            [*asked, "-s", "-H", "Host: logs.example"], capture_output=True, check=True
        ).stdout
        assert [entry["id"] for entry in json.loads(answer)["simulations"]] == ["run"]
        thence("serve", ".", "--unix", path, cwd=tmp_path).failure(1)
        process.kill()
        process.communicate()
    for wrong in (("--unix", tmp_path / "no" / "folder"), ("--unix", tmp_path / ("x" * 120))):
        thence("serve", ".", *wrong, cwd=tmp_path).failure(1)
    (tmp_path / "file").write_text("kept")
    assert thence("serve", ".", "--unix", "file", cwd=tmp_path).code == 1
    assert (tmp_path / "file").read_text() == "kept"
    assert thence("serve", ".", "--unix", path, "--port", "0", cwd=tmp_path).code == 2


@pytest.mark.parametrize("arguments", [("repository",), ()], ids=["named", "not-named"])
def test_of_a_repository_the_agents_log_the_journal_and_the_runs_are_served(tmp_path, arguments):
    repository = make_repository(tmp_path / "shop")
    for command in (("setup-spec",), ("finalize-tasks", "--add", "Read")):
        thence("work", *command, cwd=repository)
    log = repository / ".git" / "thence" / "agents"
    thence("append", "--log", log, "prompt", "text=mend", cwd=tmp_path)
    make_run(repository / "output", "run", count=3)
    process = begin(
        *(THENCE, "serve", *([repository] if arguments else []), "--port", "0", "--json"),
        cwd=repository if not arguments else tmp_path,
    )
    url = json.loads(process.stdout.readline())["url"]
    with urlopen(f"{url}/") as answer:
        home = answer.read().decode()
    assert 'href="/runs/agents"' in home
    assert "coding agents" in home
    assert 'href="/runs/shop"' in home
    assert 'href="/runs/run"' in home
    for name, text in (("agents", "mend"), ("shop", "WP01")):
        with urlopen(f"{url}/runs/{name}") as answer:
            assert text in answer.read().decode()
    assert ended(process, signal.SIGTERM)[0] == 0


def test_what_hooks_leave_while_it_serves_is_taken_in(tmp_path: Path) -> None:
    make_repository(tmp_path)
    fire(tmp_path, "first words")
    process = started(tmp_path, "--port", "0", "--json")
    url = json.loads(process.stdout.readline())["url"]
    for words in ("first words", "later words"):
        until(lambda text=words: text in urlopen(f"{url}/runs/agents").read().decode())
        fire(tmp_path, "later words")
    assert ended(process, signal.SIGTERM)[0] == 0


def fire(repository: Path, prompt: str) -> None:
    """Has an agent's hook leave a prompt, as the agent does."""
    hook = {"hook_event_name": "UserPromptSubmit", "session_id": "s-1", "prompt": prompt}
    text = json.dumps({**hook, "cwd": str(repository)})
    program = Path(fired.__file__)
    argv = [sys.executable, "-I", "-S", program, "claude-code"]
    subprocess.run(argv, input=text, text=True, cwd=repository, check=True)


@pytest.mark.parametrize("of", ["folder", "file"])
def test_link_in_the_log_of_a_repository_is_named_and_the_rest_is_served(tmp_path, of):
    repository = make_repository(tmp_path / "shop")
    make_run(repository / "output", "run", count=2)
    outside = make_run(tmp_path, "outside", count=2)
    log = repository / ".git" / "thence" / "agents"
    log.parent.mkdir()
    if of == "folder":
        log.symlink_to(outside)
    else:
        log.mkdir()
        (log / "events.jsonl").symlink_to(outside / "events.jsonl")
    process = begin(THENCE, "serve", "--port", "0", "--json", cwd=repository)
    url = json.loads(process.stdout.readline())["url"]
    words = process.stderr.readline()
    assert words.startswith("thence: not served: ")
    assert "symbolic link" in words
    for path, names in (("simulations", ["run"]), ("logs", [])):
        with urlopen(f"{url}/{path}") as answer:
            assert [one["id"] for one in json.load(answer)[path]] == names
    ended(process, signal.SIGINT)


def test_open_has_the_browser_open_the_address(tmp_path: Path) -> None:
    told = tmp_path / "told"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {told}.new; mv {told}.new {told}\n')
    browser.chmod(0o755)
    words = (THENCE, "serve", tmp_path, "--port", "0", "--open")
    process = begin(*words, cwd=tmp_path, BROWSER=f"{browser} %s")
    address = process.stdout.readline().strip()
    until(told.exists)
    assert told.read_text().strip() == address
    assert ended(process, signal.SIGTERM)[0] == 0


@pytest.mark.promise("P6")
def test_json_tells_address_and_root_and_sigterm_is_a_success(tmp_path: Path) -> None:
    process = started(tmp_path, "--port", "0", "--json", "-q")
    told = json.loads(process.stdout.readline())
    assert told == {"url": told["url"], "root": str(tmp_path)}
    assert told["url"].startswith("http://127.0.0.1:")
    assert ended(process, signal.SIGTERM) == (0, "", "")


@pytest.mark.promise("P6")
@pytest.mark.parametrize("number", [signal.SIGTERM, *tenth([signal.SIGINT], [])])
@pytest.mark.whole
def test_signal_ends_it_amid_an_open_answer(tmp_path: Path, number: int) -> None:
    (tmp_path / "run").mkdir()
    lines = (foreign(number, description="x" * 4_000) for number in range(5_000))
    (tmp_path / "run" / "events.jsonl").write_bytes(b"".join(lines))  # more than sockets hold
    path = "/simulations/run/events.ndjson"
    with serving(tmp_path) as server, server.client.stream("GET", path) as stream:
        next(stream.iter_raw(1_000))
        server.process.send_signal(number)  # the answer would never be read
        assert server.process.wait(60) == (130 if number == signal.SIGINT else 0)


def test_taken_port_is_told_and_the_next_one_found(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        done = thence("serve", "new", "--otlp", "--port", port, "--json", cwd=tmp_path)
    assert not list(tmp_path.iterdir())
    assert (done.code, done.json["error"]["code"]) == (1, "port_taken")
    assert done.json["error"]["hint"] == "name a free one with --port; 0 takes any"
    assert is_three_lines(done.err)
    with listening() as first, listening() as second:
        assert PORT <= first.getsockname()[1] < second.getsockname()[1]


def test_missing_root_is_told(tmp_path: Path) -> None:
    done = thence("serve", "nowhere", "--json", cwd=tmp_path)
    assert (done.code, done.json["error"]["code"]) == (4, "not_a_log")


@pytest.mark.promise("P7")
def test_missing_extra_is_told_with_the_line_that_installs_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "import importlib.util as util; real = util.find_spec\n"
        "util.find_spec = lambda name, *a: None if name == 'uvicorn' else real(name, *a)\n"
        "from thence.cli.main import main; sys.exit(main(['serve', '.', '--json']))"
    )
    done = in_python(code, cwd=tmp_path)
    assert (done.code, done.json["error"]["code"]) == (1, "extra_missing")
    assert done.json["error"]["hint"] == "pip install 'thence[server]'"
