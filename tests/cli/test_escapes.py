"""Nothing that a log holds is obeyed by the terminal that shows it, whatever the command."""

import contextlib
import json
import re
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import click
import pytest
from tests.cli.hostile import EVIL, FEATURE, SHOWN, calls, commands, make
from tests.cli.installed import on_terminal
from tests.cli.warm import warm
from tests.tiers import some

pytestmark = [pytest.mark.promise("A1a"), pytest.mark.xdist_group("hostile")]

# our own: colours, and what takes a drawn bar away again
OURS = re.compile(
    r"\x1b\[(?:0|1|2|3[0-79]|9[0-7]|38;5;[0-9]{2,3})?m|\x1b\[\?25[lh]|\x1b\[2K|\x1b\[1A|\r+\n|\r(?=\x1b)"
)
ANSWER = (rb"(Username|[Pp]assword[^:\n]*|\[y/N\]): ", b"n\n")  # where a command asks a person
KNOWN = [
    (words, command)
    for words, command in commands()
    if not isinstance(command, click.Group) and words != ("demo",)  # it plays for seconds
]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return make(tmp_path_factory.mktemp("hostile"))


def obeyed(text):
    """Return what of a text a terminal would obey, and lines that no command of ours writes."""
    found = {repr(c) for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Zl")}
    return found | {line for line in re.split("[\r\n]", text) if line.strip().startswith("FORGED")}


@pytest.mark.parametrize(("words", "command"), KNOWN, ids=[" ".join(words) for words, _ in KNOWN])
def test_no_text_of_a_log_is_obeyed(project, words, command):
    for arguments in calls(words, command):
        ended = warm(*arguments, cwd=project)
        is_data = words == ("export",)  # a table for programs, and text as it is
        assert not obeyed("" if is_data else ended.out), arguments
        assert not obeyed(ended.err), arguments
        assert "unexpectedly" not in ended.err, ended.err


@pytest.mark.parametrize(("words", "command"), KNOWN, ids=[" ".join(words) for words, _ in KNOWN])
def test_no_text_in_json_is_obeyed_where_a_pipe_leads_to_a_terminal(project, words, command):
    for arguments in calls(words, command)[:2]:
        is_data = words == ("export",)  # --csv goes without --json
        ended = warm(*arguments, *(() if is_data else ("--json",)), cwd=project)
        assert not obeyed("" if is_data else ended.out), arguments


def test_escaped_json_is_the_same_value(project):
    stored = []
    for line in (project / "evil/events.jsonl").read_bytes().split(b"\n"):
        with contextlib.suppress(ValueError):  # some lines are damaged
            stored.append(json.loads(line))
    for arguments in (("query", "--log", "evil", "--json"), ("log", "--log", "evil", "--json")):
        ended = warm(*arguments, cwd=project)
        shown = [json.loads(line) for line in ended.out.splitlines()]
        assert len(shown) > 5
        assert all(event in stored for event in shown)
        assert f"\\u{ord(EVIL[-1]):04x}" in ended.out
    spans = warm("export", "--otlp", "-", "--log", "evil", cwd=project).out
    assert not obeyed(spans)
    assert SHOWN in spans
    assert all(json.loads(line)["resourceSpans"] for line in spans.splitlines())


@pytest.mark.whole
def test_no_text_of_a_log_is_obeyed_on_a_terminal(project):
    asked = [calls(words, command)[0] for words, command in KNOWN]
    asked += [[*words, "@last", "--log", "evil", "--json"] for words in (["show"], ["why"])]
    asked += [[word, "--log", "evil", "--json"] for word in ("log", "query", "tail", "stats")]
    asked += [["work", "status", "--json"], ["work", "status", "--refused"]]
    with ThreadPoolExecutor(4) as pool:
        asked = some(asked, 12, "terminal")
        shown = pool.map(lambda each: on_terminal(project, *each, answer=ANSWER)[1], asked)
        for arguments, text in zip(asked, shown, strict=True):
            assert not obeyed(OURS.sub("\n", text)), arguments


def test_the_log_that_is_shown_is_hostile_indeed(project):
    """The tests above would hold of commands that show nothing, too."""
    for arguments in (
        ("log", "--log", "evil"),
        ("why", "@last-error", "--log", "evil"),
        ("show", EVIL, "--log", "evil"),
        ("query", "--log", "evil"),
        ("tail", "--log", "evil"),
        ("stats", "--log", "evil"),
        ("last", "--log", "evil"),
        ("verify", "--log", "evil"),
        ("diff", "evil", "other"),
        ("sim", "show", "evil-run"),
        ("sim", "list"),
        ("work", "status"),
        ("work", "status", "--refused"),
        ("work", "finalize-tasks", "--feature", FEATURE),
    ):
        ended = warm(*arguments, cwd=project)
        assert SHOWN in ended.out or "evil" in ended.out, arguments
