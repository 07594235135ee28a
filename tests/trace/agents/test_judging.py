"""Which added lines are an agent's, by the text of its edits: each rule and each trap a case."""

from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher

import pytest
from bench.histories import History
from tests.git.repositories import EMAIL, NAME, git, make_repository

from thence.git.repository import repository
from thence.trace.agents.history import uncommitted_hunks
from thence.trace.agents.judging import (
    AGENT,
    MAYBE,
    NONE,
    CommitText,
    EditText,
    Former,
    Hunk,
    Judge,
    Said,
    digests,
)

ONE = "def weight_of(parcel):\n"
TWO = "    return parcel.kilograms * rate_of(parcel)\n"
THREE = "total_weight = weight_of(parcels[0])\n"
CODE = ONE + TWO + THREE
OTHER = "def volume_of(parcel):\n    return parcel.length * parcel.width * parcel.height\n"


def edit(
    new: str,
    old: str | None = "",
    path: str = "a.py",
    *,
    key: str = "e1",
    tree: str = "main",
    begun: int = 1,
) -> EditText:
    """Returns an edit that ended right after its begin."""
    return EditText(key, path, tree, begun + 1, begun, new, old)


def hunks(old: str, new: str, path: str = "a.py", old_path: str = "") -> tuple[Hunk, ...]:
    """Returns the hunks of a file's change, as git prints them."""
    before, after = old.splitlines(), new.splitlines()
    changed = []
    for group in SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(3):
        rows: list[tuple[str, str]] = []
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                rows += [(" ", line) for line in before[i1:i2]]
            else:
                rows += [("-", line) for line in before[i1:i2]]
                rows += [("+", line) for line in after[j1:j2]]
        start, old_start = group[0][3] + 1, group[0][1] + 1
        changed.append(Hunk(path, old_path or path, start, old_start, tuple(rows)))
    return tuple(changed)


def said(
    judge: Judge,
    changes: Sequence[Hunk],
    *edits: EditText,
    name: str = "c1",
    tree: str = "main",
    place: int = 10,
    brought: Mapping[tuple[str, int], Said] = {},
    former: Former = lambda hunk, number: None,
) -> list[str]:
    """Adds edits, judges a commit, and returns each added line's answer in a word or two."""
    for one in edits:
        judge.add(one)
    answers = judge.judge(CommitText(name, tree, place, tuple(changes), brought), former)
    ranks = {AGENT: "agent", MAYBE: "maybe", NONE: "none"}
    return [f"{ranks[answer.rank]} {answer.how}".strip() for answer in answers.values()]


NESTED = "if is_heavy(parcel):\n" + "".join(f"    {line}\n" for line in CODE.splitlines())
BROKEN = """rates = table_of(
    first_column,
    'second_column',
    third_column,
)
"""
JOINED = 'rates = table_of(first_column, "second_column", third_column)\n'
TWELVE = "one two three four five six seven eight nine ten eleven {}\n"
KEPT = "# kept by hand, long before\n"
IMPORT = "from collections.abc import Iterator\n"
EQUAL = "    if parcel.is_fragile: raise TooHeavy\n"
COMMON = "".join(f"    common_statement_{number} = prepare()\n" for number in range(3))

# what is written, the change of a file, and what is said of its added lines
AT_HAND = {
    "as it was written": (edit(CODE), "", CODE, ["agent"] * 3),
    "indented": (edit(CODE), "", NESTED, ["maybe beside"] + ["agent form"] * 3),
    "joined by a formatter": (edit(BROKEN), "", JOINED, ["agent form"]),
    "broken by a formatter": (edit(JOINED), "", BROKEN, ["agent form"] * 4 + ["agent form"]),
    "one word of twelve was changed": (
        edit(TWELVE.format("twelve")),
        "",
        TWELVE.format("dozen"),
        ["none"],
    ),
    "a short line that is the whole edit": (edit("x = 1\n"), KEPT, KEPT + "x = 1\n", ["agent"]),
    "one short line of several": (edit("x = 1\ny = 2\nz = 3\n"), "", "y = 2\n", ["maybe part"]),
    "two in a row": (edit("x = 1\ny = 2\nz = 3\n"), "", "y = 2\nz = 3\n", ["agent"] * 2),
    "what the original had is not new": (
        edit(KEPT + THREE, KEPT),
        "",
        KEPT + THREE,
        ["maybe beside", "agent"],
    ),
    "an edit of the form alone": (
        edit('rate = {"a":1}\n', 'rate = {"a": 1}\n'),
        'rate = {"a": 1}\n',
        'rate = {"a":1}\n',
        ["agent"],
    ),
    "lines without a word belong to their neighbours": (
        edit('call_of_a_long_name(\n)\n"""\nnext_statement()\n'),
        "",
        'call_of_a_long_name(\n)\n"""\nnext_statement()\n',
        ["agent"] * 4,
    ),
    "one alone belongs to an edit that has it": (
        edit("value = (\n1\n)\n", "value = (\n1\n"),
        "value = (\n1\n",
        "value = (\n1\n)\n",
        ["agent"],
    ),
    "one alone that no edit has": (edit(CODE), KEPT, KEPT + ")\n", ["none"]),
    "a person's line in the row": (
        edit(CODE),
        "",
        ONE + "    y = 3\n" + TWO + THREE,
        ["agent", "maybe beside", "agent", "agent"],
    ),
    "a row of the person's": (edit(CODE), KEPT, OTHER + KEPT, ["none"] * 2),
    "a second time": (edit(EQUAL), KEPT, EQUAL + KEPT + EQUAL, ["agent", "maybe again"]),
    "over what nobody noted": (edit(CODE, None), "", CODE, ["maybe whole"] * 3),
    "an edit that begun after the commit": (edit(CODE, begun=10), "", CODE, ["none"] * 3),
}


@pytest.mark.parametrize("case", AT_HAND)
def test_an_edit_at_hand_wrote_its_lines(case):
    written, old, new, answers = AT_HAND[case]
    assert said(Judge(), hunks(old, new), written) == answers


LONGER = CODE + OTHER + "".join(f"long_name_{number} = parcels\n" for number in range(3))
PENDING = {
    "most of a draft": (CODE + "x = 1\n", CODE + "x = 1\n", ["agent draft"] * 4),
    "three telling lines of many": (
        LONGER,
        CODE + "x = 1\n",
        ["agent moved"] * 3 + ["maybe beside"],
    ),
    "three of many, formatted": (LONGER, NESTED, ["maybe beside"] + ["agent moved"] * 3),
    "two of three": (CODE, ONE + TWO, ["maybe part"] * 2),
    "all telling lines of the edit": ("x = 1\n" + ONE, ONE, ["agent moved"]),
    "a telling line of three tokens": (
        "type methodTyp uint\n",
        "type methodTyp uint\n",
        ["agent moved"],
    ),
    "a line of many, no seed in it": ("if x:\n    y()\n" + CODE, "if x:\n    z()\n", ["none"] * 2),
    "imports, but the whole edit": (IMPORT, IMPORT, ["maybe part"]),
    "an import of a larger edit": (IMPORT + CODE + OTHER, IMPORT, ["none"]),
    "lines that were in files before": (COMMON + OTHER, COMMON, ["maybe part"] * 3),
}


@pytest.mark.parametrize("tree", ["main", "side"])
@pytest.mark.parametrize("case", PENDING)
def test_text_of_no_commit_is_the_agents_in_another_path_or_tree(case, tree):
    written, new, answers = PENDING[case]
    judge = Judge(dict.fromkeys(digests(COMMON), 1))
    assert said(judge, hunks("", new, "b.py"), edit(written), tree=tree) == answers


def test_lines_that_the_repository_has_thrice_tell_nothing():
    judge = Judge(dict.fromkeys(digests(CODE), 3))
    assert said(judge, hunks("", CODE, "b.py"), edit(LONGER)) == ["none"] * 3


def test_what_an_edit_changed_in_form_alone_is_unknown_elsewhere():
    reformed = edit(CODE.replace("(", "( "), CODE)
    assert said(Judge(), hunks("", CODE, "b.py"), reformed) == ["maybe part"] * 3


@pytest.mark.parametrize(
    ("tree", "new", "answers"),
    [
        ("main", CODE, ["maybe copied"] * 3),
        ("main", ONE + TWO, ["none"] * 2),
        ("side", CODE, ["maybe copied"] * 3),
    ],
    ids=["three telling lines", "fewer", "in another tree"],
)
def test_text_that_has_landed_makes_no_line_new(tree, new, answers):
    judge = Judge()
    assert said(judge, hunks("", CODE), edit(CODE)) == ["agent"] * 3
    again = Judge(judge.counts, judge.landed)
    for one in (judge, again):
        edits = () if one is judge else (edit(CODE),)
        change = hunks("", new, "b.py")
        assert said(one, change, *edits, name="c2", tree=tree, place=20) == answers


def test_half_of_the_text_of_an_edit_lands_it_in_any_path():
    judge = Judge()
    assert said(judge, hunks("", CODE, "b.py"), edit(CODE)) == ["agent draft"] * 3
    assert said(judge, hunks("", CODE), name="c2", place=20) == ["maybe copied"] * 3


FEW = "x = 1\ny = 2\n"
# what an edit wrote, and what is said of it where a commit of its path had left it out
LEFT_OUT = {
    "telling lines": (OTHER, "a.py", ["agent"] * 2),
    "one telling line": (EQUAL, "a.py", ["agent"]),
    "some of them": (CODE + OTHER, "a.py", ["maybe part"] * 2),
    "short lines": (FEW, "a.py", ["maybe part"] * 2),
    "in another file": (CODE, "b.py", ["agent moved"] * 3),
    "too few in another file": (OTHER, "b.py", ["maybe part"] * 2),
    "short lines in another file": (FEW, "b.py", ["none"] * 2),
}


@pytest.mark.parametrize("is_part", [True, False], ids=["a part", "nothing"])
@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_a_commit_left_out_of_an_edit_is_the_agents_in_a_later_one(case, is_part):
    """As `git add -p` does, or a stash while something urgent is mended."""
    left, path, answers = LEFT_OUT[case]
    first = LONGER.removeprefix(CODE + OTHER) if is_part else KEPT
    judge = Judge()
    said(judge, hunks("", first), edit(first + left if is_part else left))
    judge = Judge(judge.counts, judge.landed)
    whole = edit(first + left if is_part else left)
    new = left.removeprefix(CODE) or left
    before = first if path == "a.py" else ""
    change = hunks(before, before + new, path)
    assert said(judge, change, whole, name="c2", place=20) == answers
    assert said(judge, hunks("", new, "c.py"), name="c3", place=30)[0].split()[0] != "agent"


def test_a_commit_made_from_others_has_what_was_said_of_their_lines():
    judge = Judge()
    said(judge, hunks("", CODE), edit(CODE))
    known = [Said(NONE)] * 3 + [None] + [Said(AGENT, "e1")] * 4
    brought = {("a.py", number): one for number, one in enumerate(known, 1) if one}
    amended = hunks("", OTHER + EQUAL + "x = 1\n" + CODE + EQUAL)
    answers = said(judge, amended, name="c2", tree="side", place=20, brought=brought)
    assert answers == ["none"] * 3 + ["maybe beside"] + ["agent"] * 4


def test_a_call_that_had_not_ended_does_not_land():
    judge = Judge()
    running = edit(CODE)._replace(place=15)
    assert said(judge, hunks(KEPT, KEPT + "x = 1\n"), running) == ["none"]
    assert said(judge, hunks(KEPT, KEPT + CODE), name="c2", place=20) == ["agent"] * 3


WAS = {
    "the agent's": (Said(AGENT, "e0"), CODE, [], ["agent moved"] * 3),
    "the agent's, too few": (Said(AGENT, "e0"), ONE, [], ["maybe moved"]),
    "a person's": (Said(NONE), CODE, [], ["none"] * 3),
    "a person's, moved by the agent": (
        Said(NONE),
        CODE,
        [edit(CODE, path="b.py")],
        ["maybe moved"] * 3,
    ),
    "unknown": (Said(MAYBE), CODE, [], ["maybe moved"] * 3),
    "a bracket": (Said(AGENT, "e0"), "    }\n", [], ["none"]),
}


@pytest.mark.parametrize("case", WAS)
def test_lines_that_the_same_commit_removes_elsewhere_keep_their_owner(case):
    was, moved, edits, answers = WAS[case]
    changes = hunks(moved + KEPT, KEPT) + hunks(KEPT, KEPT + moved, "b.py")
    assert said(Judge(), changes, *edits, former=lambda hunk, number: was) == answers


RETURNED = "    return least_of(first, second, third)\n"
SPLIT = "    return least_of(\n        first,\n        second,\n        third,\n    )\n"
WRAPPED = "if z:\n    x = 1\n    y = 2\n"
# what a commit does to lines of its own file that were committed before, and what they are then
FORMED = {
    "quotes": ("x = 'a'\n", 'x = "a"\n', ["form"]),
    "broken": (RETURNED, SPLIT, ["form"] * 5),
    "joined": (SPLIT, RETURNED, ["form"]),
    "indented": ("x = 1\ny = 2\n", WRAPPED, ["new", "form", "form"]),
    "indented no longer": (WRAPPED, "x = 1\ny = 2\n", ["form"] * 2),
    "cut short": ("return total\n", "return\n", ["new"]),
    "added to": ("x = f(1)\n", "x = f(1, 2)\n", ["new"]),
    "broken, and a part of it changed": (
        RETURNED,
        SPLIT.replace("second", "last"),
        ["unsure", "unsure", "new", "unsure", "unsure"],
    ),
}


@pytest.mark.parametrize("was", [Said(AGENT, "e0"), Said(MAYBE), Said(NONE)])
@pytest.mark.parametrize("case", FORMED)
def test_committed_lines_that_change_in_form_alone_keep_their_owner(case, was):
    old, new, kinds = FORMED[case]
    judge = Judge()
    said(judge, hunks("", old), edit(old))
    answers = said(judge, hunks(old, new), name="c2", place=20, former=lambda hunk, number: was)
    stays = {AGENT: "agent form", MAYBE: "maybe form", NONE: "none"}[was.rank]
    words = {"form": stays, "unsure": "maybe form" if was.rank else "none", "new": "none"}
    assert answers == [words[kind] for kind in kinds]


@pytest.mark.parametrize(
    ("old", "new", "answers"),
    [
        ("import json\nimport os\n", "import os\nimport json\n", ["maybe moved"]),
        ("}\n" + OTHER, OTHER + "}\n", ["none"]),
    ],
)
def test_short_lines_that_are_sorted_in_their_place_are_no_persons(old, new, answers):
    judge, was = Judge(), Said(AGENT, "e1")
    said(judge, hunks("", old), edit(old))
    change = hunks(old, new)
    assert said(judge, change, name="c2", place=20, former=lambda hunk, number: was) == answers


def test_commit_that_is_made_again_has_its_edits_at_hand():
    judge = Judge()
    assert said(judge, hunks("", BROKEN), edit(BROKEN)) == ["agent"] * 5
    text = CommitText("c2", "main", 20, hunks("", JOINED + KEPT), again={"e1"})
    assert [one.rank for one in judge.judge(text).values()] == [AGENT, MAYBE]
    assert said(judge, hunks("", JOINED + KEPT), name="c3", place=30) == ["none"] * 2


def test_a_renamed_file_has_the_edits_of_its_old_path():
    change = hunks(KEPT, KEPT + CODE, "b.py", "a.py")
    assert said(Judge(), change, edit(CODE)) == ["agent moved"] * 3


def test_each_of_two_edits_explains_its_own_lines_once():
    edits = (edit(EQUAL), edit(EQUAL, key="e2", begun=3))
    assert said(Judge(), hunks(KEPT, EQUAL + KEPT + EQUAL), *edits) == ["agent"] * 2


@pytest.mark.parametrize(("tree", "answer"), [("main", "maybe tie"), ("side", "agent")])
def test_edits_of_two_sessions_that_fit_alike_are_a_tie_in_one_tree(tree, answer):
    others = edit(CODE, key="e2", begun=3, tree=tree)._replace(session="s2")
    assert said(Judge(), hunks("", CODE), edit(CODE), others) == [answer] * 3


def test_no_line_of_a_small_history_is_told_wrong(tmp_path):
    git(tmp_path, "init", "-q")
    git(tmp_path, "config", "user.name", NAME)
    git(tmp_path, "config", "user.email", EMAIL)
    for number in range(40):
        source, target = (tmp_path / f"part_{one % 4}.py" for one in (number, number + 1))
        before = source.read_text() if source.exists() else ""
        first, _, rest = before.partition("\n\n\n")
        if number % 5 == 4 and rest:  # a function moves to another file
            source.write_text(rest)
            target.write_text((target.read_text() if target.exists() else "") + first + "\n\n\n")
        else:
            lines = CODE.replace("parcel", f"parcel_{number}").splitlines(keepends=True)
            source.write_text(before + lines[0] + lines[1] + "    " + lines[2] + "\n\n")
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-qm", f"{number}")
    lines = History(tmp_path, 39, 1).play().lines
    owners = {group for group, _, _ in lines}
    wrong = {("agent", "person"), ("person", "agent")}
    assert {"agent", "person"} < owners
    assert not [key for key in lines if key[:2] in wrong]


@pytest.mark.parametrize(("named", "ranks"), [("", MAYBE), ("s-2", AGENT), ("s-9", MAYBE)])
def test_sessions_that_a_commit_names_narrow_the_search(named: str, ranks: int) -> None:
    """Two sessions wrote the same: one of them is named, or neither."""
    judge = Judge()
    for number, session in enumerate(("s-1", "s-2")):
        judge.add(edit(CODE, key=f"e{number}")._replace(session=session))
    sessions = (named,) if named else ()
    commit = CommitText("c1", "main", 10, hunks("", CODE), sessions=sessions)
    answers = {*judge.judge(commit).values()}
    assert {said.rank for said in answers} == {ranks}
    assert ranks != AGENT or {said.edit for said in answers} == {"e1"}


def test_hunk_below_code_that_looks_like_a_span_is_read(tmp_path):
    lines = ["span = '@@ -1 +2 @@'", *map(str, range(9)), "old"]
    top = make_repository(tmp_path / "top", {"a.py": "\n".join(lines)})
    (top / "a.py").write_text("\n".join([*lines[:-1], "new"]))
    (hunk,) = uncommitted_hunks(repository(top))
    assert (hunk.start, [text for sign, text in hunk.lines if sign == "+"]) == (8, ["new"])
