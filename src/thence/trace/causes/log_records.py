"""Log records of a program as events, each caused by what is around it.

`logging.getLogger().addHandler(thence.LogHandler(log))`, and `thence.StructlogProcessor(log)` among
the processors of structlog. Both queue, and never raise. A value that JSON has no form for is
recorded as its text, and named in `repairs`.
"""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from thence.core.json_values import Repair, printable, repair, text_of
from thence.core.new_event import HostEvent
from thence.log.files.process_state import stays_here
from thence.log.write.drafting import warn
from thence.trace.causes.losses import Losses

if TYPE_CHECKING:
    from thence.log.open import Log

MESSAGE_CHARACTERS_MAX = 20_000
LEVEL_CHARACTERS_MAX = 100
# what every record has; the others are what its caller added by `extra`
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class LogHandler(logging.Handler):
    """A handler of `logging` that emits each record as an event `record.<level>`.

    The payload has `logger`, `message` (20,000 characters at most), what `extra` added, and of an
    exception `error_type` and `error_message`. Records of thence itself are passed over. Those
    that could not be recorded are counted in `dropped`.
    """

    __reduce__ = stays_here

    def __init__(self, log: "Log", level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._log = log
        self._losses = Losses(log)

    @property
    def dropped(self) -> int:
        """The number of records that could not be recorded."""
        return self._losses.count

    def emit(self, record: logging.LogRecord) -> None:
        """Queues a record; what goes wrong is reported as `logging` does."""
        if record.name.partition(".")[0] == "thence":
            return
        try:
            extra = {key: value for key, value in vars(record).items() if key not in _USUAL}
            message, repairs = _message_of(record)
            fields = {**extra, "logger": record.name, "message": message}
            _emit(self._log, record.levelname, fields, _error_of(record.exc_info), repairs)
        except Exception as failure:  # boundary: a log record must not stop the program
            self._losses.add(failure)
            self.handleError(record)


class StructlogProcessor:
    """A processor of structlog that emits each record as an event and passes it on unchanged.

    The event is `record.<level>`, its payload the record's fields; `event` becomes `message`, and
    `exc_info`, true, a tuple or an error, `error_type` and `error_message`. Records that could not
    be recorded are counted in `dropped`.
    """

    __reduce__ = stays_here

    def __init__(self, log: "Log") -> None:
        self._log = log
        self._losses = Losses(log)

    @property
    def dropped(self) -> int:
        """The number of records that could not be recorded."""
        return self._losses.count

    def __call__(
        self, logger: object, method: str, event_dict: MutableMapping[str, Any]
    ) -> MutableMapping[str, Any]:
        """Queues a record; what goes wrong is reported by a warning."""
        try:
            fields = dict(event_dict)
            level, error = fields.pop("level", method), _error_of(fields.pop("exc_info", None))
            fields = {"message": text_of(fields.pop("event", "")), **fields}
            _emit(self._log, level, fields, error)
        except Exception as failure:  # boundary: a log record must not stop the program
            self._losses.add(failure)
            warn("record_dropped", {"error": text_of(failure)})
        return event_dict


def _emit(
    log: "Log",
    level: object,
    fields: Mapping[str, Any],
    error: BaseException | None,
    repairs: tuple[Repair, ...] = (),
) -> None:
    if error is not None:
        fields = {**fields, "error_type": type(error).__name__, "error_message": text_of(error)}
    if isinstance(fields["message"], str):
        fields = {**fields, "message": fields["message"][:MESSAGE_CHARACTERS_MAX]}
    payload, changes = repair(fields, "payload", log.plain)
    kind = printable(text_of(level).lower())[:LEVEL_CHARACTERS_MAX]
    members = {"repairs": (*repairs, *changes)} if repairs or changes else None
    log._host_append((HostEvent(f"record.{kind}", payload, members=members),), timeout_s=None)


def _message_of(record: logging.LogRecord) -> tuple[str, tuple[Repair, ...]]:
    """Returns the message of a record; as it is written, where its arguments don't fit."""
    try:
        return record.getMessage(), ()
    except Exception as error:  # boundary: what an argument does when it is shown is its own
        was = f"a message whose arguments raised {type(error).__name__}"
        return text_of(record.msg), ({"path": "payload.message", "was": was},)


def _error_of(exc_info: object) -> BaseException | None:
    """Returns the error that `exc_info` names: true is the one that is handled now."""
    if isinstance(exc_info, tuple) and len(exc_info) == 3:
        exc_info = exc_info[1]
    elif exc_info and not isinstance(exc_info, BaseException):
        exc_info = sys.exception()
    return exc_info if isinstance(exc_info, BaseException) else None
