"""Log records of a program as events, each caused by what is around it.

`logging.getLogger().addHandler(thence.LogHandler(log))`, and `thence.StructlogProcessor(log)` among
the processors of structlog. Both queue, and never raise.
"""

import logging
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from thence.core.values.payload import storable
from thence.errors import ThenceError
from thence.log.storage.process_state import stays_here
from thence.log.write.drafting import warn

if TYPE_CHECKING:
    from thence.replica import Log

MESSAGE_CHARACTERS_MAX = 20_000
# what every record has; the others are what its caller added by `extra`
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class LogHandler(logging.Handler):
    """A handler of `logging` that emits each record as an event `record.<level>`.

    The payload has `logger`, `message` (20,000 characters at most), what `extra` added, and of an
    exception `error_type` and `error_message`. Records of thence itself are passed over.
    """

    __reduce__ = stays_here

    def __init__(self, log: "Log", level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Queues a record; what goes wrong is reported as `logging` does."""
        if record.name.partition(".")[0] == "thence":
            return
        try:
            extra = {key: value for key, value in vars(record).items() if key not in _USUAL}
            payload = {"logger": record.name, "message": record.getMessage()}
            error = record.exc_info[1] if record.exc_info else None
            _emit(self._log, record.levelname, {**_storable(self._log, extra), **payload}, error)
        except Exception:  # door: a log record must not stop the program
            self.handleError(record)


class StructlogProcessor:
    """A processor of structlog that emits each record as an event and passes it on unchanged.

    The event is `record.<level>`, its payload the record's fields; `event` becomes `message`.
    """

    __reduce__ = stays_here

    def __init__(self, log: "Log") -> None:
        self._log = log

    def __call__(
        self, logger: object, method: str, event_dict: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Queues a record; what goes wrong is reported once by a warning."""
        try:
            fields = dict(event_dict)
            level, error = str(fields.pop("level", method)), fields.pop("exc_info", None)
            payload = {"message": str(fields.pop("event", "")), **_storable(self._log, fields)}
            _emit(self._log, level, payload, error if isinstance(error, BaseException) else None)
        except Exception as failure:  # door: a log record must not stop the program
            warn("record_dropped", {"error": failure})
        return event_dict


def _emit(log: "Log", level: str, payload: dict[str, Any], error: BaseException | None) -> None:
    payload["message"] = storable(payload["message"][:MESSAGE_CHARACTERS_MAX])
    if error is not None:
        payload |= {"error_type": type(error).__name__, "error_message": storable(str(error))}
    log.emit(f"record.{level.lower()}", payload)


def _storable(log: "Log", fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what no payload holds as the text that a program's own log would show."""
    values: dict[str, Any] = {}
    for key, value in fields.items():
        try:
            values[storable(str(key))] = log.plain(value)
        except ThenceError:
            values[storable(str(key))] = storable(repr(value))
    return values
