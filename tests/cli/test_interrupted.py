"""Ctrl-C amid a long command: a word, exit code 130, nothing half done."""

import json
import shlex
import shutil
import signal
from pathlib import Path

import pytest
from tests.cli.installed import SIGNALLED, Ended, in_python, thence
from tests.server.team.lines import lines
from tests.server.team.team_server import team_server
from tests.tiers import tenth

from thence import open as thence_open

EVENTS = 40
# the check of a line, and the steps by which a file takes its place
CALLS = [
    ("backup", "fsync", 1),
    ("backup", "checked", 7),
    ("backup", "link", 1),
    ("backup --check", "checked", 7),
    ("restore", "fsync", 1),
    ("restore", "checked", 7),
    ("restore", "link", 1),
    ("restore", "replace", 1),
]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a server that holds events."""
    folder = tmp_path_factory.mktemp("kept")
    with team_server(folder / "data") as running:
        assert set(running.client("ada").statuses("log", lines(EVENTS))) == {"success"}
    return folder


def signalled(folder: Path, number: int, command: str, call: str, count: int) -> Ended:
    copy = folder / "copy.db"
    copy.unlink(missing_ok=True)
    if command != "backup":
        assert thence("server", "backup", "copy.db", "--data", "data", cwd=folder).code == 0
    words = ("server", *command.split(), "copy.db", "--data", "data")
    return in_python(SIGNALLED, call, count, number, *words, cwd=folder)


def is_whole(folder: Path) -> bool:
    ended = thence("server", "backup", "--check", "--data", "data", "--json", cwd=folder)
    return ended.code == 0 and ended.json["events"] == EVENTS


@pytest.mark.parametrize(("command", "call", "count"), tenth(CALLS, [CALLS[1], CALLS[3], CALLS[7]]))
@pytest.mark.whole
def test_interrupted_copy_leaves_what_was_there(kept, command, call, count):
    ended = signalled(kept, signal.SIGINT, command, call, count)
    assert (ended.code, ended.out, ended.err) == (130, "", "interrupted\n")
    assert (kept / "copy.db").exists() == (command != "backup")
    assert [path.name for path in kept.rglob(".*") if path.is_file()] == [], "a draft is left"
    assert is_whole(kept)


@pytest.mark.promise("S12")
@pytest.mark.parametrize("call", ["link", "replace"])
def test_restore_that_was_killed_leaves_a_whole_database(kept, tmp_path, call):
    folder = tmp_path / "kept"
    shutil.copytree(kept, folder)  # the kill leaves a draft there
    assert signalled(folder, signal.SIGKILL, "restore", call, 1).code == -signal.SIGKILL
    assert is_whole(folder)


SPANS = {
    "resourceSpans": [
        {
            "scopeSpans": [
                {
                    "spans": [
                        {
                            "traceId": "5b8efff798038103d269b633813fc60c",
                            "spanId": "eee19b7ec3c1b174",
                            "name": "pay",
                            "startTimeUnixNano": "1764547200000000000",
                            "endTimeUnixNano": "1764547201000000000",
                        }
                    ]
                }
            ]
        }
    ]
}


TRACES, ORDERS = "--log traces", "--log orders"


@pytest.mark.promise("P6")
@pytest.mark.parametrize(
    ("words", "call", "way_on"),
    [
        (f"import --otlp spans.json {TRACES}", "_host_append", "the same command again"),
        (f"redact @last {ORDERS} --yes", "project_of", "thence redact "),
        (f"prune {ORDERS} --keep-bytes 1 --yes", "_remove", "the same command again"),
    ],
)
@pytest.mark.whole(rows=2)
def test_interrupted_work_says_how_to_go_on_and_the_same_command_does(
    tmp_path: Path, words: str, call: str, way_on: str
) -> None:
    (tmp_path / "spans.json").write_text(json.dumps(SPANS))
    with thence_open(tmp_path / "orders", max_file_size=4_000) as log:
        for number in range(100):
            log.append("order.placed", {"amount": number})
    ended = in_python(SIGNALLED, call, 1, signal.SIGINT, *words.split(), cwd=tmp_path)
    assert ended.code == 130
    *_, interrupted, following = ended.err.splitlines()
    assert interrupted == "interrupted"
    assert way_on in following
    typed = following.partition(" -m thence ")[2] or words
    again = thence(*shlex.split(typed), cwd=tmp_path)
    assert again.code == 0, again.err
    assert (
        thence("verify", *(TRACES if "traces" in words else ORDERS).split(), cwd=tmp_path).code == 0
    )
