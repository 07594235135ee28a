"""Which edit owns a line, where several hold its text; lines are those of git."""

import pytest
from tests.git.repositories import git
from tests.trace.agents.played import PAY, PlayedRepository, Session, owners, sides, told, write

import thence
from thence.errors import GitFailed
from thence.git.blame import lines_of

TWO = "def a():\n    x()\n\n\ndef b():\n    y()\n"


@pytest.mark.promise("A5e")
@pytest.mark.parametrize("has_hunks", [True, False])
def test_lines_around_tell_equal_lines_of_two_sessions_apart(played, has_hunks):
    """Claude Code's answer has the hunks; of an edit of one line alone nothing is around."""
    one, two = Session(played, "s1", ask="A"), Session(played, "s2", ask="B")
    played.person(played.top, {"two.py": TWO}, "Two")
    lines = TWO.splitlines()
    for session, after in ((two, 6), (one, 2)):
        lines.insert(after, "    return None")
        hunk = [f"{'+' if at == after else ' '}{line}" for at, line in enumerate(lines)]
        hunk = hunk[max(after - 3, 0) : after + 4]
        patch = [{"lines": hunk}]
        texts = {"added": "    return None\n", "removed": "\n"}
        session.edited("Edit", "two.py", *(sides(patch) if has_hunks else [texts]))
    write(played.top, {"two.py": "\n".join(lines) + "\n"})
    two.commit("Both")
    owned = [told(owner) for owner in owners(played, "two.py") if owner.kind != "person"]
    assert owned == (["s1", "s2"] if has_hunks else ["unknown Ada"] * 2)


def test_lines_are_counted_as_git_counts_them(played):
    """A form feed, U+2028 and a lone carriage return end none."""
    session = Session(played, "s1", ask="A")
    text = "a = 1\x0c\nb = '\u2028'\nc = '\r'  # \x1c\nd = 4\n"
    session.write("odd.py", text)
    session.commit("Odd")
    assert [told(owner) for owner in owners(played, "odd.py")] == ["s1"] * 4
    session.edit("odd.py", "b = '\u2028'\n", "b = '\u2028'\nb2 = '\x85'\n")
    assert [told(owner) for owner in owners(played, "odd.py")] == ["s1"] * 5
    (played.top / "new.txt").write_text("x\x0cy\nz\n")
    assert len(lines_of(played.repo, "new.txt")) == 2


def test_settings_of_blame_hide_no_owner(played):
    """Whoever may edit a list of commits to pass over would hide an agent's commit."""
    session = Session(played, "s1", ask="A")
    session.edit("pay.py", "return total", "return total * 1.19")
    sha = session.commit("VAT")
    git(played.top, "config", "blame.ignoreRevsFile", ".ignored")
    git(played.top, "config", "blame.markIgnoredLines", "true")
    for content in (None, f"{sha}\n", "no id\n"):
        if content:
            write(played.top, {".ignored": content})
        assert [told(owner) for owner in owners(played, "pay.py")] == ["person Ada", "s1"]
    git(played.top, "config", "blame.date", "someday")
    with pytest.raises(GitFailed, match="someday") as raised:
        owners(played, "pay.py")
    assert "git config --show-origin" in raised.value.hint


def test_person_who_commits_unseen_what_an_agent_also_wrote_keeps_the_lines_around(played):
    """All new lines of the edit must be there, and the edit must be of this working tree."""
    tree = played.worktree("tree")
    Session(played, "s1", tree, ask="Add VAT").edit(
        "pay.py", "return total", "vat = 1\n    return 2"
    )
    Session(played, "s2", ask="Add VAT").edit("pay.py", "return total", "vat = 2\n    return 2")
    write(played.top, {"pay.py": PAY.replace("return total", "vat = 1\n    return 2")})
    git(played.top, "-c", "core.hooksPath=/dev/null", "commit", "-qam", "Unseen")
    assert {owner.kind for owner in owners(played, "pay.py")[1:]} == {"unknown"}


@pytest.mark.promise("A5e")
def test_working_trees_of_one_path_on_two_machines_are_two(played, tmp_path):
    """As members of a team have them who work in containers; their events came by sync."""
    far = PlayedRepository.of(played.top)
    far.log = thence.open(tmp_path / "far", bodies_from=1024)
    Session(far, "far", ask="Add VAT").edited(
        "Edit", "pay.py", {"added": "return 2", "removed": "return total"}
    )
    Session(far, "far2", ask="More").edited(
        "Write", str(played.top / "pay.py"), {"added": "def pay(total):\n    return 2\n"}
    )
    played.log.relay([event.line for event in far.log.read()])
    played.person(played.top, {"pay.py": PAY.replace("total\n", "2\n")}, "By hand")
    lines = owners(played, "pay.py")
    assert [told(owner) for owner in lines] == ["person Ada", "unknown Ada"]
    assert "an agent wrote this text in pay.py" in lines[1].reason
    write(played.top, {"pay.py": PAY.replace("total\n", "2\n") + "# new\n"})
    assert told(owners(played, "pay.py")[2]) == "unknown"
