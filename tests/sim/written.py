"""Events for the tests of the event writer, and functions that read written events."""

from pathlib import Path

from tests.sim.toys import lines

from thence.sim import Event, create_action_event


def action(number: int = 0, **more: object) -> Event:
    return create_action_event("run", number, "ada", "move", {"number": number}, **more)  # type: ignore[arg-type]


def numbers(folder: Path) -> list[object]:
    return [line["turn_number"] for line in lines(folder) if line["event_type"] == "ACTION"]


def notices(folder: Path, error_type: str) -> list[dict[str, object]]:
    found = [line["details"] for line in lines(folder) if line["event_type"] == "SYSTEM"]
    return [d for d in found if isinstance(d, dict) and d["error_type"] == error_type]
