"""Sessions of coding agents on the page of their log, and the pages of a repository's files."""

import re
from collections.abc import Iterator
from html import unescape
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.cli.warm import warm
from tests.server.serving import Serving, altered_serving, serving
from tests.server.test_pages import HOSTILE, page
from tests.trace.agents.played import PlayedRepository, Session, commit, write

import thence
from thence.server.web import files, session

ASK = f"Add VAT to all prices {HOSTILE}"
LATER = "Now the README. " * 80
PAY = "def pay(total):\n    return total\n"
OUTSIDE = "nobody may read this"


def rows(html: str, caption: str) -> list[list[str]]:
    """The texts of the cells of the first table whose caption holds a text."""
    tables = re.findall(r"<table.*?</table>", html, re.DOTALL)
    body = next(one for one in tables if caption in re.sub(r"<[^>]*>", "", one))
    return [
        [
            unescape(re.sub(r"<[^>]*>", "", cell))
            for cell in re.findall(r"<t[hd]\b[^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        ]
        for row in re.findall(r"<tr\b[^>]*>(.*?)</tr>", body, re.DOTALL)[1:]
    ]


def play(top: Path) -> PlayedRepository:
    """A line of a subagent, one of a person, two of nobody; two sessions."""
    played = PlayedRepository(top, {"src/pay.py": PAY, "logo.png": b"\x89PNG\0\n"})
    played.person(played.top, {"hand.py": "by_hand = 1\n"}, "By hand", name="Eve")
    first = Session(played, "s1", ask=ASK)
    changed = ("src/pay.py", "return total", f"return total * 1.19  # {HOSTILE}")
    first.subagent("reviewer", "Look at pay.py").edit(*changed)
    first.commit("Add VAT")
    first.ask(LATER)
    first.write("README é.md", "VAT is added\n" * 200)
    first.write("src/pay.py.orig", "x\n")
    subject, facts = "tool/9", first.facts(tool="Bash", input={"command": "make"})
    begun = played.record("tool.begun", facts, subject, "claude-code", "s1", begins=True)
    facts = first.facts(tool="Bash", error="no")
    played.record("tool.failed", facts, subject, "claude-code", "s1", ends=begun.event_id)
    facts = first.facts(tool="Bash", input={"command": f"sleep 9 {HOSTILE}"})
    played.record("tool.begun", facts, "tool/10", "claude-code", "s1", begins=True)
    Session(played, "s2", ask="Is all well?")
    write(played.top, {"lock.txt": "a==2\n"})
    commit(played.top, "Bump a", name="dependabot[bot]")
    write(played.top, {"src/pay.py": (played.top / "src/pay.py").read_text() + "\n# unseen\n"})
    commit(played.top, "By nobody", paths=("src/pay.py",))
    write(played.top, {"secret.env": OUTSIDE})
    played.log.close()
    return played


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> PlayedRepository:
    return play(tmp_path_factory.mktemp("root") / "shop")


@pytest.fixture(scope="module")
def server(played: PlayedRepository) -> Iterator[Serving]:
    with serving(played.top) as running:
        yield running


def test_session_has_its_prompts_in_order_with_what_followed_them(server: Serving) -> None:
    found = page(server, "/runs/agents")
    html = server.get("/runs/agents").text
    (verdict, *_) = found.paragraphs("verdict")
    assert verdict.startswith("in flight when it ended: ")
    assert f"sleep 9 {HOSTILE}"[:60] in verdict
    assert verdict.endswith("; 2 sessions, 3 prompts, 3 commits; 1 failure")
    first, second = rows(html, "2 prompts")
    assert first[1:3] + first[4:] == [ASK, "3", "", "1", "1"]
    assert re.fullmatch(r"[0-9.]+ m?s", first[3])
    assert second[1].startswith("Now the README. Now the README.")
    assert second[1].endswith("…")
    assert len(second[1]) <= session.PROMPT_CHARACTERS_MAX
    assert second[2:3] + second[4:] == ["4", "1", "2", ""]
    assert [row[1:] for row in rows(html, "1 prompt")] == [["Is all well?", "", "", "", "", ""]]
    assert html.index('session <a href="/runs/agents?stream=s2') < html.index("stream=s1")
    prompts = server.json("/logs/agents/events", type="prompt")["events"]
    assert {f"/runs/agents/events/{event['event_id']}" for event in prompts} <= set(found.links)
    in_flight = found.text.partition("In flight when it ended")[2].partition("session s2")[0]
    assert f"sleep 9 {HOSTILE}" in in_flight
    assert "make" not in in_flight


def test_page_of_many_sessions_reads_a_bounded_part_and_says_so(tmp_path: Path) -> None:
    played = PlayedRepository(tmp_path / "shop", {"a.py": "a\n"})
    number_of = session.SESSIONS_MAX + 3
    for number in range(number_of):
        agent = Session(played, f"s{number}", ask=f"Do {number}")
        agent.edited("Edit", "a.py", {"added": "a"})
    for number in range(session.PROMPTS_MAX + 5):
        agent.ask(f"And {number}")
    for number in range(130):
        agent.edited("Edit", f"f{number}.py", {"added": "a"})
    played.log.close()
    with serving(played.top) as server:
        found = page(server, "/runs/agents")
        assert f"The {session.SESSIONS_MAX} newest sessions are shown." in found.text
        last = f"{session.PROMPTS_MAX + 6} prompts, the last {session.PROMPTS_MAX} of them shown"
        assert last in found.text
        _, _, calls, _, _, edited, _ = rows(server.get("/runs/agents").text, last)[-1]
        assert (calls, edited) == ("130", "130"), "all of one prompt count"
        sessions = {f"/runs/agents?stream=s{number}" for number in range(99)} & {*found.links}
        assert sessions == {f"/runs/agents?stream=s{number}" for number in range(3, number_of)}


def test_log_of_another_program_has_no_sessions(tmp_path: Path) -> None:
    with thence.open(tmp_path / "other") as log:
        log.append("prompt", {"prompt": "mine"}, stream="s1", actor="me")
    with serving(tmp_path) as server:
        assert "Sessions" not in page(server, "/runs/other").text
        assert server.json("/logs/other/bars")["bars"] == []


@pytest.mark.parametrize("name", ["src/pay.py", "hand.py", "lock.txt", "README é.md"])
@pytest.mark.whole(rows=2)
def test_owners_of_lines_are_those_of_the_command(server, played, name):
    address = f"/runs/agents/files/{quote(name)}"
    page(server, address)
    table = rows(server.get(address).text, " line")
    told = warm("blame", name, "--json", cwd=played.top).json["lines"]
    assert [row[0] for row in table] == [str(line["line"]) for line in told]
    assert [row[1] for row in table] == [line["text"] for line in told]
    owner, why = "", ""
    for row, line in zip(table, told, strict=True):
        owner, why = row[2] or owner, row[3] if row[2] else why
        if line["kind"] == "unknown":
            assert owner.startswith("unknown")
            assert why == line["reason"]
        else:
            assert owner.startswith(line["name"])
            assert why[:40] == (line["ask"] or "")[:40]


def test_from_a_line_it_is_one_click_to_the_prompt_and_three_from_home(server, played):
    assert "/runs/agents/files" in page(server, "/").links
    assert "/runs/agents/files" in page(server, "/runs/agents").links
    listed = page(server, "/runs/agents/files")
    assert "/runs/agents/files/src/pay.py" in listed.links
    prompts = server.json("/logs/agents/events", type="prompt")["events"]
    (asked,) = [event["event_id"] for event in prompts if event["payload"]["prompt"] == ASK]
    links = page(server, "/runs/agents/files/src/pay.py").links
    assert f"/runs/agents/events/{asked}" in links
    told = warm("why", "src/pay.py:2", "--json", cwd=played.top).json
    assert f"/runs/agents/events/{told['edit']}" in links


def test_files_are_those_that_git_lists_the_edited_ones_first(server: Serving) -> None:
    listed = [one for one in page(server, "/runs/agents/files").links if "/files/" in one]
    assert [one.removeprefix("/runs/agents/files/") for one in listed] == [
        *("src/pay.py.orig", quote("README é.md"), "src/pay.py"),
        *("README.md", "hand.py", "lock.txt", "logo.png"),
    ]
    found = page(server, "/runs/agents/files?find=PAY")
    assert [one for one in found.links if "/files/" in one] == [
        "/runs/agents/files/src/pay.py.orig",
        "/runs/agents/files/src/pay.py",
    ]
    assert "0 files that git lists" in page(server, "/runs/agents/files?find=none").text


@pytest.mark.parametrize(
    "name",
    [
        *("../outside.txt", "..%2Foutside.txt", "src/../../outside.txt", "src/../hand.py"),
        *("secret.env", ".git/config", "src", "src/", "", "/hand.py", "./hand.py", "hand.py/"),
        *("%00", "hand.py%00", ":(top)hand.py", "*.py", "-h", "%FF", "%2E%2E/outside.txt"),
        *("TOP/hand.py", "../../agents/files/../../outside.txt"),
    ],
)
def test_path_that_git_does_not_list_is_refused(server, played, name):
    (played.top.parent / "outside.txt").write_text(OUTSIDE)
    # an HTTP client would take the dots away
    connection = HTTPConnection(server.url.removeprefix("http://"))
    connection.request("GET", f"/runs/agents/files/{name.replace('TOP', str(played.top))}")
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert (answer.status, OUTSIDE in text, "by_hand" in text) == (404, False, False)


def test_file_that_can_not_be_shown_says_why_and_no_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/x.txt").write_text(OUTSIDE)
    content = {
        "logo.png": b"\x89PNG\0\n",
        "latin.txt": "caf\xe9\n".encode("latin-1"),
        "empty.txt": b"",
        "long.txt": b"x\n" * (files.LINES_MAX + 7),
        "gone.txt": b"x\n",
        "sub/x.txt": b"mine\n",
    }
    played = PlayedRepository(tmp_path / "shop", content)
    (played.top / "link.txt").symlink_to(tmp_path / "outside/x.txt")
    commit(played.top, "A link")
    for name in ("gone.txt", "sub/x.txt"):
        (played.top / name).unlink()
    (played.top / "sub").rmdir()
    (played.top / "sub").symlink_to(tmp_path / "outside")
    played.log.close()
    with serving(played.top) as server:
        for name in ("link.txt", "sub/x.txt"):
            answer = server.get(f"/runs/agents/files/{name}")
            assert OUTSIDE not in answer.text
            assert answer.status_code in (404, 422)
        for name, text in (
            ("logo.png", "logo.png can't be shown: it is a binary file, or not text in UTF-8"),
            ("latin.txt", "latin.txt can't be shown: it is a binary file, or not text in UTF-8"),
            ("gone.txt", "gone.txt can't be shown: it can't be read: No such file or directory"),
        ):
            assert text in page(server, f"/runs/agents/files/{name}", status=422).text
        assert "0 lines" in page(server, "/runs/agents/files/empty.txt").text
        html = server.get("/runs/agents/files/long.txt").text
        assert f"the first {files.LINES_MAX:,} of {files.LINES_MAX + 7:,} lines" in html
        assert html.count('id="L') == files.LINES_MAX


def test_without_a_repository_there_are_no_files(played: PlayedRepository) -> None:
    log = played.top / ".git/thence/agents"
    for root in (log, log.parent):
        with serving(root) as server:
            found = page(server, "/runs/agents")
            assert ", session s1" in found.text
            assert not [one for one in (*found.links, *page(server, "/").links) if "files" in one]
            for path in ("files", "files/hand.py"):
                page(server, f"/runs/agents/{path}", status=404)


def test_page_says_after_a_while_that_git_takes_too_long(tmp_path, played):
    slow = tmp_path / "bin/git"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 100\n")
    slow.chmod(0o755)
    soon = "from thence.server.web import pages\npages.FILES_S = 0.3"
    with altered_serving(played.top, soon, PATH=f"{slow.parent}:/usr/bin:/bin") as server:
        for _ in range(2):
            found = page(server, "/runs/agents/files/hand.py", status=504)
            assert "git and the log took over" in found.text
        page(server, "/runs/agents")
