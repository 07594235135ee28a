"""The spans of OpenTelemetry at the command line: `export --otlp`, and the command `import`."""

from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from thence.cli.output import Output
from thence.cli.shared.logs import Conditions, find_log_to_read, keys, report_matches
from thence.cli.shared.render import counted

if TYPE_CHECKING:
    from thence.replica import Log


class EventChoice(NamedTuple):
    """Which events of which log are exported."""

    log: str | None
    limit: int | None
    conditions: Conditions


class _Exported:
    """The spans of one export, read from an open log once."""

    def __init__(self, out: Output, replica: "Log", choice: EventChoice) -> None:
        from thence.core.query.filter import Filter
        from thence.otlp.encoding import LogSpans

        self._replica, self._choice = replica, choice
        self._matches = Filter.of(**keys(choice.conditions)).matches
        self._spans = LogSpans(replica.vocabulary)
        self._out = out
        self.chosen_count = self.span_count = 0

    def groups(self) -> Iterator[tuple[bytes, int]]:
        """Yields batches in OTLP/JSON, each with the number of its spans."""
        import msgspec

        from thence import __version__
        from thence.otlp.encoding import LOG_ID, trace_of
        from thence.otlp.sending import batches

        name = self._replica.folder.absolute().name
        resource = {"service.name": name, LOG_ID: self._replica.log_id or ""}
        for batch in batches(self._all()):
            self.span_count += len(batch)
            yield msgspec.json.encode(trace_of(batch, resource, __version__)), len(batch)

    def _all(self) -> Iterator[dict[str, Any]]:
        from thence.cli.shared.progress import parts_done

        limit = self._choice.limit
        read_count = 0
        with parts_done(self._out, "exporting") as show:
            for page in self._replica.answers.pages():
                for event in page.events:
                    has_room = limit is None or self.chosen_count < limit
                    is_chosen = has_room and self._matches(event)
                    self.chosen_count += is_chosen
                    span = self._spans.take(event, is_chosen)
                    if span is not None:
                        yield span
                read_count += len(page.events)
                show(read_count, page.total)
                if self.chosen_count == limit and not self._spans.awaits_ends:
                    break
        yield from self._spans.unfinished()

    def notices(self) -> list[str]:
        """Reports a filter that nothing fits; returns what else is to be told."""
        report_matches(self._out, self._replica, self._choice.conditions, self.chosen_count)
        unlinked = self._spans.unlinked
        why = "to events that the log lacks, or had too long before"
        return [f"{counted(unlinked, 'link')} left out, {why}"] if unlinked else []


def write_spans(out: Output, file: IO[bytes], choice: EventChoice) -> tuple[int, list[str]]:
    """Writes spans as lines of OTLP/JSON; returns how many, and what is to be told of them."""
    from thence.replica import open_log

    with open_log(find_log_to_read(out, choice.log), create=False) as replica:
        exported = _Exported(out, replica, choice)
        for body, _ in exported.groups():
            file.write(body + b"\n")
        return exported.span_count, exported.notices()


def send_spans(out: Output, url: str, wait_s: float, choice: EventChoice) -> None:
    """Sends spans to an endpoint, and tells how many it took."""
    from thence.otlp.sending import Sender, endpoint, headers_of
    from thence.replica import open_log

    to, headers = endpoint(url), headers_of(out.settings.otlp_headers)
    with (
        open_log(find_log_to_read(out, choice.log), create=False) as replica,
        Sender(to, headers, wait_s) as sender,
    ):
        exported = _Exported(out, replica, choice)
        for body, count in exported.groups():
            sender.send(body, count)
        notices = exported.notices()
    sent, rejected, message = sender.outcome
    for notice in notices:
        out.notice(notice)
    if rejected or message:
        words = f": {message}" if message else ""
        out.warn(f"{to} rejected {counted(rejected, 'span')}{words}")
    if out.is_json:
        out.json({"spans": sent, "rejected": rejected, "endpoint": str(to), "message": message})
    else:
        out.notice(f"{counted(sent, 'span')} sent to {to}")
