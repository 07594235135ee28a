"""What stands of a package's rows, followed through changes that are written down here."""

import pytest

from thence.git.rows import Change, Hunk, changes_in, follow, standing_of

CALL = "total = add(price, tax)"
WRAPPED = "total = add(\n  price,\n  tax,\n)"
HELPER = "def helper():\n    return one"


def hunk(removed="", added="", kept=""):
    return Hunk(*(side.encode().split(b"\n") if side else [] for side in (removed, added, kept)))


def standing(own, *changes):
    """Follow the rows of a package through commits, each a list of hunks."""
    found = standing_of([own])
    each = [Change(f"{number}", "", hunks) for number, hunks in enumerate(changes)]
    follow({"WP01": found}, each, {})
    return found


PUT = [hunk(added=CALL)]
BACK = [hunk(removed=CALL)]
MOVED = [*BACK, *PUT]
BLOCK = [hunk(added=HELPER, kept=HELPER)]
ONE, TWO = hunk(added="one = 1"), hunk(added="two = 2")
BOTH = [hunk(added="one = 1\ntwo = 2")]
INDENTED = [hunk("one = 1", "  one = 1")]
BLOB = [hunk(added="\0# 12")]


@pytest.mark.promise("L15")
@pytest.mark.parametrize(
    ("own", "changes", "reverts"),
    [
        (PUT, [PUT, BACK], ["1"]),
        (PUT, [PUT, BACK, PUT], None),
        (PUT, [PUT, MOVED], None),
        (PUT, [PUT, [hunk(CALL, "  total=add( price, tax )")]], None),
        (PUT, [], None),
        # an edit of a row is the package's, and its end is seen
        (PUT, [PUT, [hunk(CALL, "total = add(price, vat)")]], None),
        (PUT, [PUT, [hunk(CALL, WRAPPED)], [hunk(WRAPPED)]], ["2"]),
        # new text that is more like somebody else's row is not the package's
        (PUT, [PUT, [hunk(f"{CALL}\nname = strip(text)", "name = strip(text, 2)")]], ["1"]),
        # two of its commits, taken out by two
        ([ONE, TWO], [BOTH, [hunk("one = 1")], [hunk("two = 2")]], ["2", "1"]),
        ([ONE, TWO], [PUT, [ONE]], None),
        # a deletion is there while the row stays away, and an edit of the row is no deletion
        (BACK, [BACK, PUT], ["1"]),
        (BACK, [BACK, [hunk(added=f"{CALL}\nnew = text")]], None),
        (BACK, [BACK, PUT, [hunk(CALL, f"{CALL};")]], ["1"]),
        # an indent alone
        (INDENTED, [INDENTED], None),
        (INDENTED, [INDENTED, [hunk("  one = 1\na", "one = 1\nb = 2")]], ["1"]),
        # an equal text comes again only alone
        (BLOCK, [BLOCK, [hunk(HELPER)], BLOCK], None),
        (BLOCK, [BLOCK, [hunk(HELPER)], [hunk(added=f"{HELPER}\nmore = 1")]], ["1"]),
        # files without text, and modes
        (BLOB, [BLOB, [hunk("\0# 12")]], ["1"]),
    ],
)
def test_rows_stand_or_are_gone(own, changes, reverts):
    found = standing(own, *changes)
    assert (found.reverts if found.is_gone else None) == reverts


def test_what_a_package_takes_back_itself_is_not_followed():
    assert standing_of([PUT, BACK]).rows == {}
    (row,) = standing_of([PUT, PUT]).rows.values()
    assert row.put == 1, "it was handed in once more"


def test_diffs_of_git_are_read_by_their_signs():
    out = b"""\x011111 0000 9999

diff --git a b c a b c
new file mode 100755
index 0000..1234
--- /dev/null
+++ a b c
@@ -0,0 +1,2 @@
+-- x
+diff --git x x
\\ No newline at end of file
diff --git bin bin
index 1234..5678 100644
Binary files bin and bin differ
\x012222 1111
"""
    first, second = changes_in(out)
    assert (first.commit, first.parent) == ("1111", "0000")
    assert first.hunks == [
        Hunk([], [b"\0mode 100755 a b c"]),
        Hunk([], [b"-- x", b"diff --git x x"], []),
        Hunk([b"\0# 1234"], [b"\0# 5678"]),
    ]
    assert (second.commit, second.parent, second.hunks) == ("2222", "1111", [])
    assert [*changes_in(b"")] == []
