"""`BOARD.md`: the board for readers of the board's branch on a forge.

The page is equal wherever the same events are held. Texts of people and tools are code spans:
there Markdown, HTML, mentions, links and emoji are nothing but characters.
"""

import re
from collections.abc import Iterator, Sequence

from thence.merge.conflicts import Conflict
from thence.work.board.state import LANES, Board, FeatureState, PackageState

PAGE = "BOARD.md"
_TEXT_CHARACTERS_MAX = 200
# spaces and line ends of any kind, terminal controls, changes of the direction of writing
_ODD = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+")
_BACKTICKS = re.compile(r"`+")


def page(board: Board) -> bytes:
    """Returns the board as Markdown."""
    features = list(board.features.items())
    lines = ["# Board", "", "Drawn by `thence work publish`; what is changed here by hand is lost."]
    if not features:
        lines += ["", "There is no feature yet."]
    for slug, feature in features:
        if not feature.is_completed:
            lines += _feature(board, slug, feature)
    completed = [(slug, feature) for slug, feature in features if feature.is_completed]
    if completed:
        lines += ["", "## Completed", ""]
        lines += [f"- {_headline(slug, feature)}" for slug, feature in completed]
    return ("\n".join(lines) + "\n").encode("utf-8", "replace")


def code(text: str) -> str:
    """Returns an untrusted text on one line, as a code span of Markdown."""
    text = _ODD.sub(" ", text).strip()
    if len(text) > _TEXT_CHARACTERS_MAX:
        text = text[:_TEXT_CHARACTERS_MAX] + "…"
    fence = "`" * (max(map(len, _BACKTICKS.findall(text)), default=0) + 1)
    gap = " " if not text or text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{gap}{text}{gap}{fence}"


def _headline(slug: str, feature: FeatureState) -> str:
    title = f" {code(feature.title)}" if feature.title else ""
    return f"{code(slug)}{title}: {feature.done_count} of {len(feature.packages)} done"


def _feature(board: Board, slug: str, feature: FeatureState) -> Iterator[str]:
    yield from ("", f"## {_headline(slug, feature)}")
    for lane, packages in feature.by_lane().items():
        if packages:
            yield from ("", f"### {lane if lane in LANES else code(lane)}", "")
            yield from map(_package, packages)
    conflicts = [conflict for conflict in board.conflicts if conflict.is_open]
    conflicts = [conflict for conflict in conflicts if feature.is_about(conflict.subject)]
    if conflicts:
        yield from ("", "### Conflicts", "")
        yield from map(_conflict, conflicts)


def _package(package: PackageState) -> str:
    title = f" {code(package.title)}" if package.title else ""
    remarks = []
    if package.agent and package.lane != LANES[0]:
        remarks.append(code(package.agent))
    if package.reviewer:
        remarks.append(f"reviewed by {code(package.reviewer)}")
    if package.dependencies and package.lane == LANES[0]:
        remarks.append(f"after {_list(package.dependencies)}")
    gates = [gate.gate_type for gate in package.gates.values() if not gate.is_passed]
    if gates:
        remarks.append(f"gates open: {_list(gates)}")
    text = f": {', '.join(remarks)}" if remarks else ""
    return f"- {code(package.wp_id)}{title}{text}"


def _conflict(conflict: Conflict) -> str:
    name = (conflict.subject or "").rpartition("/")[2]
    people = list(dict.fromkeys(str(event.header.actor or "?") for event in conflict.events))
    kept = "all of it"
    if conflict.winner:
        kept = f"what {code(conflict.winner.header.actor or '?')} wrote"
    sure = ", provisionally" if conflict.is_provisional else ""
    rule = code(conflict.rule or "none")
    return f"- {code(name)}: {_list(people)} wrote at once; the rule {rule} keeps {kept}{sure}"


def _list(names: Sequence[str]) -> str:
    return ", ".join(map(code, names))
