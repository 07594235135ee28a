"""A module is named after its subject, not after the fact that it is useful."""

from pathlib import PurePath

from tests.house.tree import modules

NAMELESS = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}


def nameless(path: str) -> set[str]:
    """Find the words in a path's folders and file that name no subject."""
    words = {word for part in PurePath(path).with_suffix("").parts for word in part.split("_")}
    return words & NAMELESS


def test_modules_are_named_after_their_subject():
    found = [module.path for module in modules("src", "bench", "tools", "tests")]
    assert found
    assert not [path for path in found if nameless(path)]


def test_nameless_modules_are_found():
    assert nameless("src/thence/log/utils.py")
    assert nameless("src/thence/common/ids.py")
    assert nameless("tests/log_helpers.py")
    assert not nameless("src/thence/log/write/committer.py")
