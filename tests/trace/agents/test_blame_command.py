"""`thence why` of a line, a commit or a text, and `thence blame`, in the log of a repository."""

import json
from pathlib import Path

import pytest
from tests.cli.installed import on_terminal
from tests.cli.warm import warm
from tests.git.repositories import git
from tests.trace.agents.played import PlayedRepository, Session, commit, write

import thence as package
from thence.core.sentences.events import clipped

ASK = "Add VAT to all prices.\nIt is 19 %.\n" + "More of it.\n" * 20


@pytest.fixture
def played(tmp_path: Path) -> PlayedRepository:
    """A line of a subagent, one of a person, one that says a bot."""
    files = {"src/pay.py": "def pay(total):\n    return total\n", "logo.png": b"\x89PNG\0\n"}
    played = PlayedRepository(tmp_path / "shop", files)
    played.person(played.top, {"hand.py": "by_hand = 1\n"}, "By hand", name="Eve")
    session = Session(played, "s1", ask=ASK)
    session.subagent("reviewer", "Look at pay.py").edit(
        "src/pay.py", "return total", "return total * 1.19"
    )
    session.commit("Add VAT")
    write(played.top, {"lock.txt": "a==2\n"})
    commit(played.top, "Bump a", name="dependabot[bot]")
    played.log.close()
    return played


@pytest.mark.promise("A5f")
def test_why_of_a_line_leads_to_what_the_user_asked(played):
    ended = warm("why", "src/pay.py:2", cwd=played.top)
    assert ended.code == 0, ended.err
    sentences = [line[5:] for line in ended.lines if line[:5].strip().isdigit()]
    sha = git(played.top, "rev-parse", "HEAD~1")
    assert sentences[0].startswith(f'src/pay.py:2 came with commit {sha[:12]} "Add VAT"')
    assert sentences[1].startswith("claude-code/reviewer edited src/pay.py [")
    assert sentences[2].startswith("claude-code/reviewer began its task")
    assert sentences[3].startswith('claude-code gave reviewer its task: "Look at pay.py"')
    assert sentences[4].startswith('the user asked: "Add VAT to all prices. It is 19 %.')
    assert "  | It is 19 %." in ended.lines
    assert "more lines; --all shows the whole" in ended.out
    whole = warm("why", "src/pay.py:2", "--all", cwd=played.top)
    assert whole.out.count("  | More of it.") == 20


def test_why_of_a_line_as_json_has_the_whole_prompt_and_the_chain(played):
    told = warm("why", "pay.py:2", "--json", cwd=played.top / "src").json
    assert (told["file"], told["line"], told["kind"]) == ("src/pay.py", 2, "agent")
    assert (told["session"], told["agent_type"]) == ("s1", "reviewer")
    assert told["prompt"] == ASK
    assert told["chain"][0]["event_type"] == "tool.ended"
    assert told["chain"][-2]["payload"]["prompt"] == ASK
    assert told["edit"] == told["chain"][0]["event_id"]


def test_why_of_a_commit_says_whose_it_is(played):
    shas = git(played.top, "log", "--format=%H").split()
    for sha, words in zip(
        shas,
        (
            "is of an unknown owner: the commit says a bot",
            "is by claude-code in session s1",
            "is by Eve, a person",
        ),
        strict=False,
    ):
        for name in (sha, sha[:10], f"commit/{sha[:8]}"):
            told = warm("why", name, "--json", cwd=played.top).json
            assert told["commit"] == sha
            assert words in told["sentences"][0]
    assert warm("why", "commit/HEAD", "--json", cwd=played.top).json["commit"] == shas[0]
    named = warm("why", f"commit/{shas[1]}", "--json", cwd=played.top).json
    assert (named["commit"], named["prompt"]) == (shas[1], ASK)


@pytest.mark.promise("A5f")
def test_why_of_a_text_finds_the_newest_edit_that_wrote_it(played):
    told = warm("why", "return total * 1.19", "--json", cwd=played.top).json
    assert told["chain"][0]["actor"] == "claude-code/reviewer"
    assert told["prompt"] == ASK
    asked = warm("why", '"VAT to all"', "--json", cwd=played.top).json
    assert asked["chain"][0]["event_type"] == "prompt"
    ended = warm("why", "no such words", cwd=played.top)
    assert (ended.code, "no event in the log contains it" in ended.err) == (4, True)


def test_subject_id_and_type_win_over_files_and_texts(played):
    told = warm("why", "session/s1", "--json", cwd=played.top).json
    assert "event_id" in told
    assert warm("why", "prompt", "--json", cwd=played.top).json["event_id"]


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("src/pay.py:9", "the file has 2 lines"),
        ("src/pay.py:0", "the file has 2 lines"),
        ("logo.png:1", "it is a binary file"),
        ("src:1", "it is a folder"),
        ("../outside.txt:1", "it is not in a working tree of a git repository"),
        ("gone.py:1", "nor is gone.py a file here"),
        (f"{'a' * 300}:1", "no event of the log"),
    ],
)
@pytest.mark.whole(rows=4)
def test_what_is_no_line_is_told_in_three_lines(played, named, why):
    (played.top.parent / "outside.txt").write_text("x\n")
    ended = warm("why", named, cwd=played.top)
    assert ended.code == 4
    assert why in ended.err
    # three lines, after the one that says which log it is
    assert ended.err.count("\n") == 3 + ended.err.startswith("log: ")
    told = warm("why", named, "--json", cwd=played.top)
    assert list(json.loads(told.out)) == ["error"]


def test_line_that_is_not_committed_is_told_so(played):
    write(played.top, {"new file é.py": "x = 1\n"})
    ended = warm("why", "new file é.py:1", cwd=played.top)
    assert ended.code == 0
    assert "is not committed yet" in ended.out
    assert "no agent edit contains it" in " ".join(ended.out.split())
    assert "No recorded edit" not in ended.out
    git(played.top, "add", "-A")
    assert "is not committed yet" in warm("why", "new file é.py:1", cwd=played.top).out


@pytest.mark.parametrize(
    ("columns", "beside"),
    [
        (40, "claude-cod…      2  "),
        (80, "claude-code/reviewer  s1  Add VAT …  2  "),
        (120, "claude-code/reviewer  s1  Add VAT to all prices. It is…  2  "),
    ],
)
def test_blame_leaves_half_of_any_width_to_the_code(played, columns, beside):
    _, shown = on_terminal(played.top, "blame", "src/pay.py", columns=columns)
    assert shown.splitlines()[-1] == clipped(f"{beside}    return total * 1.19", columns)
    assert len(beside) <= columns // 2


@pytest.mark.promise("A5f")
def test_blame_has_each_lines_owner_session_and_ask(played):
    ended = warm("blame", "src/pay.py", cwd=played.top)
    first, second = ended.lines
    assert first.split()[0] == "Ada"
    assert second.startswith("claude-code/reviewer  s1  ")
    assert "Add VAT to all prices" in second
    assert second.endswith("2      return total * 1.19")
    told = warm("blame", "lock.txt", "--json", cwd=played.top).json
    assert [(line["kind"], line["name"]) for line in told["lines"]] == [
        ("unknown", "dependabot[bot]")
    ]


def test_why_of_a_persons_line_says_so_once(played):
    ended = warm("why", "src/pay.py:1", cwd=played.top)
    sha = git(played.top, "rev-list", "--max-parents=0", "HEAD")
    text = " ".join(ended.out.split())
    assert text == (
        f'1 src/pay.py:1 came with commit {sha[:12]} "Begin", '
        "which is by Ada, a person: no agent made it"
    )


def test_log_of_another_program_answers_for_lines_and_texts_too(played):
    with package.open(played.top.parent / "mine") as log:
        log.append("note", {"text": "pay all of it"}, actor="ada")
    told = warm("why", "all of it", "--log", "../mine", "--json", cwd=played.top).json
    assert (told["kind"], told["prompt"]) == ("unknown", None)
    told = warm("why", "src/pay.py:2", "--log", "../mine", "--json", cwd=played.top).json
    assert told["kind"] == "unknown"
    assert "thence hook install git" in told["reason"]


def test_empty_file_has_no_lines_to_tell_of(played):
    (played.top / "empty").touch()
    ended = warm("blame", "empty", cwd=played.top)
    assert (ended.code, ended.out) == (0, "")
    assert warm("blame", "empty", "--json", cwd=played.top).json["lines"] == []


@pytest.mark.promise("A5e")
def test_what_git_says_of_a_commit_that_nobody_saw_stands_beside_the_answer(played):
    write(played.top, {"new.py": "new = 1\n"})
    trailer = "Co-Authored-By: Claude <noreply@example.com>"
    commit(played.top, f"New\n\nco-authored-by: Eve <e@example.com>\n{trailer}", name="Ada")
    says = "(git author: Ada, co-authored by Eve <e@example.com>, Claude <noreply@"
    for name in ("new.py:1", "commit/HEAD"):
        text = " ".join(warm("why", name, cwd=played.top).out.split())
        assert "is of an unknown owner: no git hook here recorded it" in text
        assert says in text
        told = warm("why", name, "--json", cwd=played.top).json
        assert (told["kind"], told["name"], len(told["co_authors"])) == ("unknown", "Ada", 2)
    (row,) = warm("blame", "new.py", cwd=played.top).lines
    assert row.startswith("unknown, in git Ada  ")
    (line,) = warm("blame", "new.py", "--json", cwd=played.top).json["lines"]
    assert (line["kind"], line["name"]) == ("unknown", "Ada")
    assert "no git hook here recorded it" in line["reason"]


def test_link_is_answered_for_by_its_target(played):
    (played.top / "link.py").symlink_to("src/pay.py")
    (played.top / "lnk").symlink_to("src")
    for name in ("link.py", "lnk/pay.py"):
        ended = warm("why", f"{name}:2", cwd=played.top)
        assert ended.code == 0, ended.err
        assert f"{name} is a link to src/pay.py" in ended.lines[0]
        assert "claude-code/reviewer edited src/pay.py" in ended.out
        blamed = warm("blame", name, cwd=played.top)
        assert blamed.lines[0] == f"{name} is a link to src/pay.py"
        assert len(blamed.lines) == 3


def test_line_that_an_agents_commit_swept_along_is_marked_everywhere(played):
    played = PlayedRepository.of(played.top)
    session = Session(played, "s2", ask="Commit all")
    write(played.top, {"swept.py": "swept_along = 1\n"})
    session.commit("All")
    played.log.close()
    (row,) = warm("blame", "swept.py", cwd=played.top).lines
    assert row.startswith("claude-code?  s2  ")
    (line,) = warm("blame", "swept.py", "--json", cwd=played.top).json["lines"]
    assert (line["kind"], line["maybe"]["session"], line["ask"]) == ("unknown", "s2", None)
    ended = warm("why", "swept.py:1", cwd=played.top)
    assert "it came along with a commit of claude-code" in " ".join(ended.out.split())
    assert "what the user asked" not in ended.out


def test_file_of_another_encoding_is_read_as_git_shows_it(played):
    write(played.top, {".gitattributes": "*.ps1 working-tree-encoding=UTF-16LE-BOM\n"})
    (played.top / "run.ps1").write_bytes("\ufeffWrite-Host 1\nWrite-Host 2\n".encode("utf-16-le"))
    for is_committed in (False, True):
        if is_committed:
            commit(played.top, "Script", name="Eve")
        lines = warm("blame", "run.ps1", "--json", cwd=played.top).json["lines"]
        assert [line["text"] for line in lines] == ["Write-Host 1", "Write-Host 2"]
        assert warm("why", "run.ps1:2", cwd=played.top).code == 0
