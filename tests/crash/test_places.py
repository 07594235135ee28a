"""A path of the simulated disk is any other path, only put together once."""

from pathlib import Path

from tests.crash.places import CHILDREN_MAX, Place


def test_place_is_the_path_that_it_stands_for():
    place, path = Place("/disk/logs"), Path("/disk/logs")
    for _ in range(2):
        assert (place / "one" / "a") == (path / "one" / "a")
        assert (place / Path("one/a")) == (path / "one/a")
        assert (place / "one/a").parent == path / "one"
        assert (place / "/else").parent == Path("/")
        assert (place / "a").with_name("b").parent.parent == path.parent
        assert str(place / "one" / "..") == str(path / "one" / "..")


def test_child_and_parent_are_made_once():
    place = Place("/disk")
    assert place / "a" is place / "a"
    assert (place / "a").parent is (place / "a").parent
    assert isinstance((place / "a").parent / "b", Place)


def test_place_forgets_children_when_they_are_many():
    place = Place("/disk")
    for number in range(3 * CHILDREN_MAX):
        assert (place / str(number)).name == str(number)
        assert len(place._children) <= CHILDREN_MAX
