"""Owners of commits and lines, in real repositories with the events of played sessions."""

import subprocess
from functools import partial

import pytest
from tests.git.repositories import git, own_variables
from tests.trace.agents.played import (
    PAY,
    PlayedRepository,
    Session,
    commit,
    of_commit,
    owners,
    told,
    write,
)

from thence.git.git import Git

AT = 1_796_000_000  # seconds since 1970


@pytest.mark.parametrize("has_hook", [True, False])
def test_rebased_commits_keep_their_owners(played, has_hook):
    tree = played.worktree("a")
    session = Session(played, "s1", tree, ask="Add VAT")
    session.edit("pay.py", "return total", "return total * 1.19")
    old = session.commit("Add VAT")
    played.person(played.top, {"hand.py": "x = 1\n"}, "By hand", name="Eve")
    git(tree, "rebase", "-q", "main")
    new = git(tree, "rev-parse", "HEAD")
    assert new != old
    if has_hook:
        played.committed(tree)
        played.rewritten(old, new)
    owner = of_commit(played, new)
    assert told(owner) == "s1"
    assert owner.via == (f"rewritten from {old[:12]}",)
    assert [told(owner) for owner in owners(played, "pay.py", tree)] == ["person Ada", "s1"]


def test_fixup_joins_commits_of_two_owners(played):
    one, two = Session(played, "s1", ask="Add VAT"), Session(played, "s2", ask="Fix it")
    one.write("vat.py", "VAT = 1.16\n")
    first = one.commit("Add VAT")
    two.write("other.py", "x = 1\n")
    other = two.commit("Other")
    two.edit("vat.py", "1.16", "1.19")
    fix = two.commit("fixup! Add VAT")
    git(played.top, "-c", "sequence.editor=true", "rebase", "-qi", "--autosquash", "HEAD~3")
    new, rest = git(played.top, "rev-parse", "HEAD~1", "HEAD").split()
    played.rewritten(first, new)
    played.rewritten(fix, new)
    played.rewritten(other, rest)
    owner = of_commit(played, new)
    assert (told(owner), [told(part) for part in owner.others]) == ("s1", ["s2"])
    assert [told(owner) for owner in owners(played, "vat.py")] == ["s2"]
    assert told(of_commit(played, rest)) == "s2"


def test_squash_made_in_the_second_of_one_of_its_commits_is_made_of_all(played):
    """By the same author, as a rebased or picked commit is."""
    one = played.worktree("a")
    session, names = Session(played, "s1", one, ask="Add rates"), ("vat", "fees", "tax")

    def commit_at(root, message, minute):
        git(root, "add", "-A")
        author, date = "Ada <ada@example.org>", f"{AT + 60 * minute} +0000"
        git(root, "commit", "-q", "-m", message, "--author", author, "--date", date)

    for minute, name in enumerate(names):
        lines = [f"def {name}_{number}(total_{name}):\n    return None\n" for number in range(3)]
        session.write(f"{name}.py", "".join(lines))
        session.run(partial(commit_at, one, name, minute), "git commit")
    git(played.top, "merge", "-q", "--squash", "a")
    commit_at(played.top, "All", 2)
    played.committed(played.top)
    for name in names:
        assert {told(owner) for owner in owners(played, f"{name}.py")} == {"s1"}


def test_whole_write_owns_nothing_that_the_hook_saw_before_it(played):
    session, text = Session(played, "s1", ask="A"), f"{PAY}DONE = True\n"
    write(played.top, {"pay.py": text})
    session.edited("write", "pay.py", {"added": text}, before=PAY)
    played.person(played.top, {}, "By hand", name="Bob")
    assert [told(owner) for owner in owners(played, "pay.py")] == ["person Ada"] * 2 + ["s1"]


def test_lines_that_end_in_cr_lf_have_owners(played):
    one, two = Session(played, "s1", ask="CRLF"), Session(played, "s2", ask="B")
    one.write("win.txt", "a\r\nb\r\n")
    two.commit("CRLF")
    assert [told(owner) for owner in owners(played, "win.txt")] == ["s1", "s1"]


def test_uncommitted_line_is_of_the_agent_whose_edit_holds_it(played):
    session = Session(played, "s1", ask="Add VAT")
    played.person(played.top, {"hand.py": "x = 1\n"}, "By hand")
    session.edit("pay.py", "return total", "return total * 1.19")
    with (played.top / "pay.py").open("a") as file:
        file.write("by_hand = True\n")
    write(played.top, {"hand.py": "x = 1\ny = 2\n"})
    lines = owners(played, "pay.py")
    assert [told(owner) for owner in lines] == ["person Ada", "s1", "unknown"]
    assert "edited together with lines that an agent wrote" in lines[2].reason
    assert "it is uncommitted" in owners(played, "hand.py")[1].reason


def test_commits_before_those_of_a_shallow_clone_are_unknown(played, tmp_path):
    session = Session(played, "s1", ask="Add VAT")
    session.edit("pay.py", "return total", "return total * 1.19")
    session.commit("Add VAT")
    played.person(played.top, {"hand.py": "x = 1\n"}, "By hand")
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{played.top}", "shallow")
    lines = owners(played, "pay.py", tmp_path / "shallow")
    assert {owner.kind for owner in lines} == {"unknown"}
    assert "shallow" in lines[0].reason


def test_rewrites_that_go_round_end(played):
    head = git(played.top, "rev-parse", "HEAD")
    played.rewritten("a" * 40, head)
    played.rewritten(head, "a" * 40)
    assert of_commit(played, head).kind == "unknown"


def test_long_edits_lie_in_bodies_and_own_their_lines(played):
    session = Session(played, "s1", ask="Write much " * 200)
    session.write("much.py", "".join(f"value_{number} = {number}\n" for number in range(500)))
    session.commit("Much")
    lines = owners(played, "much.py")
    assert {told(owner) for owner in lines} == {"s1"}
    assert lines[0].prompt.payload["prompt"] == "Write much " * 200


def test_part_of_a_line_is_an_edit_of_it(played):
    one, two = Session(played, "s1", ask="A"), Session(played, "s2", ask="B")
    one.write("rates.py", "THE_RATE_OF_VAT_FOR_BOOKS = 7\nOTHER = 19\n")
    one.commit("Rates")
    two.edit("rates.py", "7", "8")
    one.edit("rates.py", "19", "20")
    one.commit("Both")
    assert [told(owner) for owner in owners(played, "rates.py")] == ["s2", "s1"]


def test_what_the_user_changed_before_it_was_written_is_unknown_of_any_agent(played):
    session = Session(played, "s1", ask="A")
    texts = {"added": "the_rate_of_vat = 7\n", "removed": "", "is_user_modified": True}
    write(played.top, {"rates.py": texts["added"]})
    session.edited("write_file", "rates.py", texts)
    played.person(played.top, {}, "Rates")
    assert [owner.kind for owner in owners(played, "rates.py")] == ["unknown"]


def test_edit_of_another_working_tree_by_its_whole_path_counts_there(played):
    tree = played.worktree("a")
    session = Session(played, "s1", ask="A")
    write(tree, {"far.py": "far = 1\n"})
    session.edited("Write", str(tree / "far.py"), {"added": "far = 1\n", "removed": ""})
    played.person(tree, {}, "By hand")
    assert [told(owner) for owner in owners(played, "far.py", tree)] == ["s1"]


def test_begin_of_a_call_counts_for_a_commit_before_its_end(played):
    """Another agent may commit between an edit and the hook behind it."""
    one, two = Session(played, "s1", ask="A"), Session(played, "s2", ask="B")
    write(played.top, {"late.py": "late = 1\n"})
    texts = {"added": "late = 1\n", "removed": ""}
    one.edited("Write", "late.py", texts, meanwhile=lambda: two.commit("All of it"))
    assert [told(owner) for owner in owners(played, "late.py")] == ["s1"]


@pytest.mark.parametrize(
    "value", [None, 7, "", "--all", "HEAD", "a\nb", "\0", [], {"a": 1}, "é" * 99]
)
@pytest.mark.whole(rows=5)
def test_events_of_any_form_are_passed_over(played, value):
    played.person(played.top, {"hand.py": "x = 1\n"}, "By hand", name="Eve")
    names = ("commit", "root", "session", "by", "old", "new", "agent", "files")
    facts = dict.fromkeys(names, value)
    for kind in ("commit", "rewrite", "tool.ended"):
        played.record(kind, facts, "x", "claude-code", "s1")
    for files in (
        [value],
        [{"path": value, "added": value}],
        [{"path": "hand.py", "added": value}],
    ):
        played.record("tool.ended", {"files": files, "root": value}, "x", "claude-code", "s1")
    assert [told(owner) for owner in owners(played, "hand.py")] == ["person Eve"]


def test_line_of_a_shell_is_unknown_and_the_agent_that_committed_it_is_named(played):
    """Also in a squash: by the commit that brought it."""
    one = played.worktree("a")
    first = Session(played, "s1", one, ask="Generate")
    write(one, {"made.py": "made = 1\n"})
    first.commit("Generate")
    second = Session(played, "s2", one, ask="Generate more")
    write(one, {"made.py": "made = 1\nmore = 2\n"})
    second.commit("Generate more")
    git(played.top, "merge", "-q", "--squash", "a")
    played.person(played.top, {}, "Squashed", name="Eve")
    lines = owners(played, "made.py")
    assert [(owner.kind, told(owner.maybe)) for owner in lines] == [
        ("unknown", "s1"),
        ("unknown", "s2"),
    ]
    assert "came along with a commit of claude-code in session s1" in lines[0].reason
    assert {owner.prompt for owner in lines} == {None}


def test_several_edits_of_one_call_all_count(played):
    session, other = Session(played, "s1", ask="A"), Session(played, "s2", ask="B")
    write(played.top, {"pay.py": "def pay(amount):\n    return amount * 1.19\n"})
    head = {"added": "def pay(amount):", "removed": "def pay(total):"}
    body = {"added": "return amount * 1.19", "removed": "return total"}
    session.edited("MultiEdit", "pay.py", head, body)
    other.commit("All")
    assert [told(owner) for owner in owners(played, "pay.py")] == ["s1", "s1"]


def test_commit_of_one_of_several_open_calls_tells_what_they_have_in_common(played):
    session = Session(played, "s1", ask="Do both")
    calls = []
    for kind in ("coder", "reviewer"):
        sub = session.subagent(kind, f"Task of {kind}")
        facts = {"tool": "Bash", "input": {"command": "git commit"}}
        calls.append(sub._record("tool.begun", f"tool/{kind}", facts, begins=True).event_id)
    write(played.top, {"a.txt": "x\n"})
    commit(played.top, "One of them")
    sha = git(played.top, "rev-parse", "HEAD")
    payload = {"commit": sha, "root": str(played.top), "by": "agent", "session": "s1"}
    payload |= {"is_agent_unknown": True}
    words = (f"commit/{sha}", "claude-code", "s1")
    played.record("commit", payload, *words, inferred_causes=tuple(calls))
    owner = of_commit(played, sha)
    assert (told(owner), owner.agent, owner.is_agent_unknown) == ("s1", None, True)
    assert [event.event_type for event in owner.chain] == ["commit", "prompt", "session.begun"]


# commits that no git hook recorded


def unseen(played: PlayedRepository, sha: str) -> str:
    """Return why the owner of a commit is unknown, and see that its lines say no more."""
    owner = of_commit(played, sha)
    assert owner.kind == "unknown", owner
    return owner.reason


@pytest.mark.promise("A5e")
@pytest.mark.parametrize(
    "make",
    [
        lambda top: git(top, "-c", "core.hooksPath=/dev/null", "commit", "-qam", "Unseen"),
        lambda top: git(top, "commit", "-qa", "--amend", "-m", "Unseen"),
        lambda top: [commit(top, "Once"), git(top, "revert", "--no-edit", "HEAD")],
    ],
    ids=["hook switched off", "amend", "revert"],
)
def test_commit_made_here_that_the_hook_did_not_record_is_nobodys(played, make):
    """An agent's edit of this line and its call of git are in the log all the same."""
    session = Session(played, "s1", ask="Add VAT")
    session.edit("pay.py", "return total", "return total * 1.19")
    make(played.top)
    sha = git(played.top, "rev-parse", "HEAD")
    assert "no git hook here recorded it" in unseen(played, sha)
    assert of_commit(played, sha).kind == "unknown"
    line = owners(played, "pay.py")[1]
    is_reverted = git(played.top, "log", "-1", "--format=%s").startswith("Revert")
    assert (line.kind, line.session) == (("unknown", None) if is_reverted else ("agent", "s1"))


def test_git_is_asked_as_often_for_many_commits_of_a_file_as_for_one(played, tmp_path, monkeypatch):
    git(tmp_path, "clone", "-q", played.top, "mate")
    mates = PlayedRepository.of(tmp_path / "mate")
    Session(mates, "s1")
    for number in range(6):
        write(played.top, {"long.txt": "".join(f"{at}\n" for at in range(number + 1))})
        commit(played.top, f"c{number}")
    git(tmp_path / "mate", "pull", "-q", "--ff-only")
    mates.person(tmp_path / "mate", {"hand.py": "x = 1\n"}, "Mine")
    asked: list[tuple[str, ...]] = []
    run = Git.run
    monkeypatch.setattr(
        Git, "run", lambda self, *words, **more: asked.append(words) or run(self, *words, **more)
    )
    owners(mates, "pay.py", tmp_path / "mate")
    count = len(asked)
    reasons = {owner.reason for owner in owners(mates, "long.txt", tmp_path / "mate")}
    assert len(reasons) == 1
    assert "no git hook here recorded it" in reasons.pop()
    assert len(asked) <= 2 * count, asked


def test_commit_that_no_command_of_git_noted_is_unknown_and_nothing_is_said_of_its_place(played):
    """As jj and libgit2 make them, and where reflogs are off."""
    tree = git(played.top, "rev-parse", "HEAD^{tree}")
    sha = git(played.top, "commit-tree", tree, "-p", "HEAD", "-m", "By plumbing")
    git(played.top, "update-ref", "refs/heads/main", sha)
    assert "no git hook here recorded it" in unseen(played, sha)


def test_commit_made_before_the_hooks_is_unknown(tmp_path):
    played = PlayedRepository(tmp_path / "shop", {"pay.py": PAY}, is_recorded=False)
    env = own_variables() | {"GIT_COMMITTER_DATE": "@1700000000 +0000"}
    subprocess.run(["git", "commit", "-q", "--amend", "--no-edit"], cwd=played.top, env=env)
    first = git(played.top, "rev-parse", "HEAD")
    played.person(played.top, {"hand.py": "x = 1\n"}, "By hand")
    assert unseen(played, first) == "committed before the hooks were installed"
    assert [told(owner) for owner in owners(played, "pay.py")] == ["unknown Ada"] * 2


def test_commit_that_came_from_elsewhere_is_unknown(played, tmp_path):
    """Also when it is an agent's there, and a person commits here."""
    session = Session(played, "s1", ask="Add VAT")
    mate = tmp_path / "mate"
    git(tmp_path, "clone", "-q", played.top, "mate")
    mates = PlayedRepository.of(mate)
    Session(mates, "s2")
    session.edit("pay.py", "return total", "return total * 1.19")
    sha = session.commit("Add VAT")
    git(mate, "pull", "-q", "--ff-only")
    mates.person(mate, {"hand.py": "x = 1\n"}, "Mine")
    assert "no git hook here recorded it" in unseen(mates, sha)
    assert {owner.kind for owner in owners(mates, "pay.py")} == {"unknown"}
    assert {owner.kind for owner in owners(mates, "hand.py")} == {"person"}


def test_copy_of_a_commit_that_nobody_saw_is_unknown_too(played, tmp_path):
    """A person picks what an agent may have made."""
    git(tmp_path, "clone", "-q", played.top, "mate")
    write(tmp_path / "mate", {"vat.py": "VAT = 1.19\n"})
    commit(tmp_path / "mate", "Add VAT")
    # a copy is younger than its original
    env = own_variables() | {"GIT_COMMITTER_DATE": "@1700000000 +0000"}
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    words = ["git", *who, "commit", "-q", "--amend", "--no-edit", "--date=@1700000000 +0000"]
    subprocess.run(words, cwd=tmp_path / "mate", env=env, check=True)
    git(played.top, "fetch", "-q", tmp_path / "mate", "main:theirs")
    played.person(played.top, {"hand.py": "x = 1\n"}, "Mine")
    git(played.top, "cherry-pick", "theirs")
    played.committed(played.top)
    sha = git(played.top, "rev-parse", "HEAD")
    assert "its original is" in unseen(played, sha)
    assert [owner.kind for owner in owners(played, "vat.py")] == ["unknown"]


@pytest.mark.parametrize(
    ("trailer", "said"),
    [
        ("aider (openai/stub) <aider@aider.chat>", "aider"),
        ("Copilot <198982749+Copilot@users.noreply.github.com>", "Copilot"),
        ("Renovate <49+renovate[bot]@users.noreply.github.com>", "a bot"),
        ("Eve <eve@aider.chat>", None),
    ],
)
def test_person_whose_commit_names_an_agent_is_unknown_and_an_agent_stays(played, trailer, said):
    commits = {}
    for by in ("person", "agent", "unseen"):
        write(played.top, {"a.txt": f"{by}\n"})
        commit(played.top, f"By {by}\n\nCo-authored-by: {trailer}")
        commits[by] = git(played.top, "rev-parse", "HEAD")
        if by != "unseen":
            played.committed(played.top, by, session="s-1" if by == "agent" else None)
    found = {by: of_commit(played, sha) for by, sha in commits.items()}
    assert [owner.kind for owner in found.values()] == [
        "unknown" if said else "person",
        "agent",
        "unknown",
    ]
    reason = f"the commit says {said}"
    assert (found["person"].reason == found["unseen"].reason == reason) == bool(said)


def test_commit_that_two_subagents_hooks_name_is_of_neither(played):
    """Each asks for HEAD, where the other's commit may have come meanwhile."""
    write(played.top, {"a.txt": "x\n"})
    commit(played.top, "Who")
    for agent in ("x2", "x2", "x3"):
        sha = played.committed(played.top, by="agent", session="s-1", agent=agent)
        owner = of_commit(played, sha)
        assert owner.kind == ("unknown" if agent == "x3" else "agent")


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("no_call", "as with `!`, or something that an ended call left running"),
        ("background", "as with `!`, or a call that continued in the background: s-1, s-2"),
        ("variables", "an agent that thence does not know"),
        ("no_session", "no agent's hook had fired"),
        ("processes", "the parents of its process"),
        ("of another tool", "could not see whose it is: s-1, s-2"),
        ("sessions", "may have made it: s-1, s-2"),
        ("witnesses", "is not the one that its processes belong to: s-1, s-2"),
        ("ended", "name a session that had ended: s-1, s-2"),
        ("elsewhere", "name a session that this log does not have: s-1, s-2"),
    ],
)
def test_each_doubt_of_the_hook_has_its_reason(played, reason, words):
    write(played.top, {"a.txt": "x\n"})
    commit(played.top, "Who")
    fitting = ["s-1", "s-2"]
    sha = played.committed(played.top, by="unknown", reason=reason, fitting=fitting)
    assert words in unseen(played, sha)
