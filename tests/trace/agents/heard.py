"""A table of sessions that hears hooks, without a log and without processes."""

from typing import Any

from thence.core.new_event import HostEvent
from thence.trace.agents.fired import Process
from thence.trace.agents.hooked import Spooled, events_of
from thence.trace.agents.sessions import SessionTable

TOP, OTHER = "/w/shop", "/w/tree"
DAEMON: Process = (40, "b 1")
CLAUDE: Process = (50, "b 2")
PERSON: tuple[Process, ...] = ((90, "b 9"), (1, "b 0"))


class Heard:
    """A table that has heard hooks, fired in order."""

    def __init__(self) -> None:
        self.table = SessionTable()
        self.ids: dict[tuple[str | None, str], str | None] = {}
        self.events: list[HostEvent] = []
        self._count = 0

    def hook(
        self,
        name: str,
        session: str,
        process: Process = CLAUDE,
        bridge: str = "claude-code",
        root: str = TOP,
        shell: Process | None = None,
        **members: Any,
    ) -> list[HostEvent]:
        self._count += 1
        data = {"session_id": session, "hook_event_name": name, "cwd": root, **members}
        place = (f"{self._count:020}", bridge, self._count * 10**9, root, root)
        spooled = Spooled(*place, process, (shell or process, *PERSON[1:]), {}, data)
        events = events_of(spooled, self.table)
        self.events += events
        for event in events:
            self.ids[event.subject, event.event_type] = event.event_id
        return events

    def shell(self, session: str, command: str, **members: Any) -> None:
        words = {"tool_name": "Bash", "tool_use_id": f"t-{session}", **members}
        self.hook("PreToolUse", session, tool_input={"command": command}, **words)

    def unfinished(self) -> list[str | None]:
        """What began and has not ended, by its subject, as a log says it."""
        ended = {event.ends for event in self.events}
        begun = [event for event in self.events if event.begins and event.event_id not in ended]
        return [event.subject for event in begun]
