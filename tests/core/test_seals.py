"""What seals prove of lines, for both sides of the wire."""

from hashlib import sha256

import pytest
from tests.server.team.notices import ANN

from thence.core.wire.seals import LinePlace, Seal, outranked, sealed, sealed_lines

NODE = "aaaaaaaaaaaa"
pytestmark = pytest.mark.promise("S10a")


def digest(name: object) -> bytes:
    return sha256(str(name).encode()).digest()


def covered(
    lines: dict[int, list[bytes]], seals: list[Seal], asked: list[tuple[int, bytes]]
) -> set[bytes]:
    places = [LinePlace(NODE, *place) for place in asked]
    return sealed_lines(places, seals, lambda _: lines, lambda seal: seal.public_key == "valid")


def seal_over(*numbers: int, public_key: str = "valid") -> Seal:
    made = sealed(NODE, [(number, digest(number)) for number in numbers], b"", ANN)
    return Seal(made.node_id, made.first, made.last, made.count, made.lines_sha256, "", public_key)


def test_seal_covers_its_own_line_of_several_with_one_number() -> None:
    lines = {number: [digest(number)] for number in range(1, 6)}
    asked = [(3, digest(3)), (3, digest("twin")), (5, digest("twin")), (5, digest(5))]
    lines[3].insert(0, digest("twin"))
    lines[5].insert(0, digest("twin"))
    assert covered(lines, [seal_over(1, 2, 3, 4)], asked) == {digest(3)}
    assert covered(lines, [seal_over(*range(1, 6))], asked) == {digest(3), digest(5)}
    assert covered(lines, [seal_over(1, 2, 3, 4, public_key="other")], asked) == set()
    del lines[1]
    assert covered(lines, [seal_over(1, 2, 3, 4)], asked) == set(), "one line is missing"


def test_line_that_is_sealed_alone_is_proven_among_any_number_of_others() -> None:
    others = [digest(f"forged {number}") for number in range(1_000)]
    lines = {7: [*others, digest(7)]}
    asked = [(7, each) for each in lines[7]]
    assert covered(lines, [seal_over(7)], asked) == {digest(7)}


def test_others_stand_behind_an_authored_line_and_nothing_behind_none() -> None:
    one, twin = LinePlace(NODE, 1, digest(1)), LinePlace(NODE, 1, digest("twin"))
    groups = {"a": [one, twin], "b": [LinePlace("", 0, digest("foreign"))]}
    assert outranked(groups, {digest(1)}) == {"a": {digest("twin")}}
    assert outranked(groups, {digest(1), digest("twin")}) == {"a": set()}
    assert outranked(groups, ()) == {}
