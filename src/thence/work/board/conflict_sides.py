"""The sides of a conflict, as people, packages and commits.

All of it is equal wherever the same events are held.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from thence.core.event import Event
from thence.core.sentences.event_sentences import shown
from thence.merge.conflicts import Conflict
from thence.merge.policies import is_send_back
from thence.work.board.package_numbers import SLOT, names_of
from thence.work.board.state import DOING, NOBODY, Board

_TIMES = {2: "twice", 3: "three times"}
_WORDS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class Commits(NamedTuple):
    """The number of a person's commits that are on a branch, and not in the target."""

    person: str
    branch: str
    number: int


def person(event: Event) -> str:
    """Returns the person who wrote an event, as the event names them."""
    return shown(event.actor or event.payload.get("changed_by") or NOBODY)


def people(conflict: Conflict) -> tuple[str, ...]:
    """Returns the people who wrote the events of a conflict, each once."""
    return tuple(dict.fromkeys(map(person, conflict.events)))


def is_claim(event: Event) -> bool:
    """Reports whether an event claims a package."""
    is_move = event.event_type == "WPStatusChanged"
    return is_move and event.payload.get("new_status") == DOING and not is_send_back(event)


def sentence(conflict: Conflict, commits: Sequence[Commits] = ()) -> str:
    """Returns a conflict in one sentence: the authors, their commits, and the winner."""
    name = conflict.subject.rpartition("/")[2]
    if conflict.slot == SLOT:
        return _given_twice(name, conflict)
    claimers = list(map(person, filter(is_claim, conflict.events)))
    if len(claimers) > 1:
        names = list(dict.fromkeys(claimers))
        both = "both" if len(names) == 2 else "all"
        text = f"{_listed(names)} {both} took {name}"
        if len(names) == 1:
            text = f"{names[0]} took {name} in two clones"
    else:
        text = f"{_listed(list(map(action_of, conflict.heads)))} were written at once on {name}"
    locations = [
        f"{each.person}'s {_number(each.number)} {'lie' if each.number > 1 else 'lies'}"
        f" on {each.branch}"
        for each in commits
    ]
    stands = f"{action_of(conflict.winner)} stands ({conflict.rule})" if conflict.winner else ""
    sure = ", provisionally" if conflict.is_provisional else ""
    return "; ".join([text, *locations, (stands or "no rule settles it") + sure])


def _given_twice(number: str, conflict: Conflict) -> str:
    by = (f"by {person(each)} ({shown(each.payload.get('title'))})" for each in conflict.events)
    text = f"{number} was given {_TIMES.get(len(conflict.events), 'often')}: {' and '.join(by)}"
    if conflict.resolved_by not in conflict.events:  # renumbered, in the log of an older version
        return text
    names = zip(names_of(number, conflict.events)[1:], conflict.events[1:], strict=True)
    return "; ".join([text, *(f"{person(event)}'s is {name}" for name, event in names)])


def action_of(event: Event) -> str:
    """Returns the action of an event as a noun phrase: A's claim."""
    if is_claim(event):
        what = "claim"
    elif event.event_type == "WPStatusChanged":
        what = f"move to {shown(event.payload.get('new_status'))}"
    elif event.event_type == "WPAssigned":
        what = f"assignment to {shown(event.payload.get('agent_id'))}"
    elif event.event_type == "ConflictSettled":
        what = "choice"
    elif event.event_type in ("SpecCreated", "FeatureCreated"):
        facts = map(event.payload.get, ("title", "target_branch"))
        what = f"{event.event_type} ({', '.join(map(shown, filter(None, facts)))})"
    else:
        what = event.event_type
    return f"{person(event)}'s {what}"


def lost_claims(board: Board, actor: str, node_id: str | None, *, is_named: bool) -> Iterator[str]:
    """Yields a warning on each claim of an actor that lost in a conflict that is still open.

    An actor that was not named stands for anybody who claims packages in this clone.
    """
    for conflict in board.conflicts:
        winner = conflict.winner
        is_decided = conflict.is_open and not conflict.is_provisional
        if not is_decided or winner is None or conflict.slot != "lane":
            continue
        lost = [
            each
            for each in conflict.events
            if is_claim(each)
            and each.event_id != winner.event_id
            and each.node_id != winner.node_id
        ]
        if any(
            (person(each) == actor != person(winner)) or (not is_named and each.node_id == node_id)
            for each in lost
        ):
            name, other = package_name(conflict), person(winner)
            yield (
                f"your claim of {name} lost to {other}'s: thence work settle {name} --winner"
                f" EVENT --reason TEXT chooses otherwise, thence work next takes another"
            )


def package_name(conflict: Conflict) -> str:
    """Returns the name of the package that a conflict is about."""
    return conflict.subject.rpartition("/")[2]


def _number(count: int) -> str:
    text = _WORDS[count] if count < len(_WORDS) else str(count)
    return f"{text} commit{'' if count == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
