"""What happened in a run of traders: facts picked out of its events."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thence.core.event import Event
from thence.core.order import chain

# the sentences of an answer that a tour shows from its end
TAIL_LINKS = 9
_LATE = 0.7


@dataclass(frozen=True, slots=True)
class Trades:
    """The run in numbers: who, where, what; each value first and last, by its subject."""

    turns: int
    traders: tuple[str, ...]
    places: tuple[str, ...]
    goods: tuple[str, ...]
    actions: Mapping[str, int]
    refusals: int
    values: Mapping[str, tuple[Any, Any]]

    def moved(self, scope: str, prefix: str) -> list[tuple[str, str, float, float]]:
        """Lists (owner, name, first, last) of numbers, those first that changed most.

        `scope` is "place" or "agent"; change is measured by the larger of the two over the
        smaller.
        """
        found = []
        for subject, (first, last) in self.values.items():
            kind, owner, name = subject.split("/")
            if kind == scope and name.startswith(prefix) and _is_number(first, last):
                found.append((owner, name.removeprefix(prefix), float(first), float(last)))
        return sorted(found, key=lambda each: (-_ratio(*each[2:]), each[:2]))


def trades(events: Sequence[Event]) -> Trades:
    """Reads the facts off a run's events in total order."""
    actions: dict[str, int] = {}
    values: dict[str, tuple[Any, Any]] = {}
    goods: set[str] = set()
    refusals = 0
    for event in events:
        details = event.payload
        if event.event_type == "ACTION":
            kind = str(details.get("action_type"))
            actions[kind] = actions.get(kind, 0) + 1
        elif event.event_type == "STATE" and event.subject:
            first = values.get(event.subject, (details.get("old_value"),))[0]
            values[event.subject] = (first, details.get("new_value"))
            if event.subject.startswith("place/") and "/price_" in event.subject:
                goods.add(event.subject.partition("/price_")[2])
        elif details.get("error_type") == "action_rejected":
            refusals += 1
    return Trades(
        turns=max((event.turn_number or 0 for event in events), default=0),
        traders=tuple(sorted({event.actor for event in events if event.actor})),
        places=_owners(values, "place"),
        goods=tuple(sorted(goods)),
        actions=actions,
        refusals=refusals,
        values=values,
    )


def telling_trade(events: Sequence[Event]) -> Event | None:
    """Chooses a late trade whose nearest causes tell most of trading: trades, prices, traders."""
    last = max((event.turn_number or 0 for event in events), default=0)
    known = {event.event_id: event for event in events}
    late = [e for e in events if _is_trade(e) and (e.turn_number or 0) >= last * _LATE]

    def weight(event: Event) -> tuple[int, int, str]:
        links = chain(event, known)[-TAIL_LINKS:]
        actors = {link.actor for link in links if link.actor}
        told = sum(_is_trade(link) or _is_price(link) for link in links)
        return (told + len(actors), len({link.turn_number for link in links}), event.event_id)

    return max(late, key=weight, default=None)


def question(event: Event) -> str:
    """Asks why a trade happened, in its own words."""
    details = event.payload
    wanted = details.get("action_payload")
    what = wanted if isinstance(wanted, Mapping) else {}
    verb = details.get("action_type")
    traded = f"{verb} {what.get('amount')} {what.get('good')} at {what.get('place')}"
    return f"Why did {event.actor} {traded} in turn {event.turn_number}?"


def _is_trade(event: Event) -> bool:
    return event.event_type == "ACTION" and event.payload.get("action_type") in ("buy", "sell")


def _is_price(event: Event) -> bool:
    return (event.subject or "").split("/")[-1].startswith("price_")


def _owners(subjects: Iterable[str], scope: str) -> tuple[str, ...]:
    return tuple(sorted({s.split("/")[1] for s in subjects if s.startswith(f"{scope}/")}))


def _is_number(*values: object) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _ratio(first: float, last: float) -> float:
    low, high = sorted((abs(first), abs(last)))
    return high / max(low, 0.01)
