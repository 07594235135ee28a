"""Log records of a program as events, each caused by what was around its making.

`logging.getLogger().addHandler(thence.LogHandler(log))`, and `thence.StructlogProcessor(log)` among
the processors of structlog. Both queue unless told otherwise, and never raise. A value that JSON
has no form for is recorded as its text, and named in `repairs`.
"""

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextlib import suppress
from functools import partial
from math import inf
from types import FrameType
from typing import TYPE_CHECKING, Any

from thence.core.clock import timestamp_at
from thence.core.json_values import Repair, printable, repair, text_of
from thence.core.new_event import HostEvent
from thence.errors import LogBusy
from thence.log.files.process_state import stays_here
from thence.log.write.drafting import warn
from thence.trace.causes.losses import Losses
from thence.trace.causes.propagation import arrived
from thence.trace.causes.surroundings import surroundings

if TYPE_CHECKING:
    from thence.log.open import Log

MESSAGE_CHARACTERS_MAX = 20_000
LEVEL_CHARACTERS_MAX = 100
# a record that is handled later, perhaps in another process, holds its causes as texts, which any
# program unpickles, in an attribute that formatters leave out since it begins with _
_STAMP = "_thence_causes"
# what every record has; the others are what its caller added by `extra`
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", _STAMP}
_LOG = logging.Logger._log.__code__


class LogHandler(logging.Handler):
    """A handler of `logging` that emits each record as an event `record.<level>`.

    The payload has `logger`, `message` (20,000 characters at most), what `extra` added, and of an
    exception `error_type` and `error_message`. Records of thence itself are skipped. Those
    that could not be recorded are counted in `dropped`.

    Records are queued: a kill may take the last ones. Those of the level `durable`, such as
    `logging.ERROR`, or above are durable when the call that logs them returns. In a signal handler
    or a finalizer that interrupts an append of its own thread they are queued.

    A record has the causes around its making, even if a queue or a buffer hands it over later;
    then the payload has the time of its making as `at`. For that the first handler sets a record
    factory of `logging`, which calls the former one and stays.
    """

    __reduce__ = stays_here

    def __init__(
        self,
        log: "Log",
        level: int | str = logging.NOTSET,
        *,
        durable: int | str | None = None,
    ) -> None:
        super().__init__(level)
        self._log = log
        if isinstance(durable, str):
            durable = logging.getLevelNamesMapping()[durable]
        self._durable_from = inf if durable is None else durable
        self._losses = Losses(log)
        factory = logging.getLogRecordFactory()
        if not isinstance(factory, _StampingFactory):
            logging.setLogRecordFactory(_StampingFactory(factory))

    @property
    def dropped(self) -> int:
        """The number of records that could not be recorded."""
        return self._losses.count

    def emit(self, record: logging.LogRecord) -> None:
        """Queues a record; what goes wrong is reported as `logging` does."""
        if record.name.partition(".")[0] == "thence":
            return
        try:
            fields = {key: value for key, value in vars(record).items() if key not in _USUAL}
            # what is around is the record's own in the call that made it; its thread, task and
            # process don't say so: logging may be set to leave them out
            frame: FrameType | None = sys._getframe()
            while frame and (
                frame.f_code is not _LOG or frame.f_locals.get("record") is not record
            ):
                frame = frame.f_back
            is_now = frame is not None
            if not is_now:
                fields = {"at": timestamp_at(int(record.created * 1_000_000)), **fields}
            repairs: tuple[Repair, ...] = ()
            try:
                message = record.getMessage()
            except Exception as error:  # boundary: what an argument does when shown is its own
                was = f"a message whose arguments raised {type(error).__name__}"
                message, repairs = text_of(record.msg), ({"path": "payload.message", "was": was},)
            fields |= {"logger": record.name, "message": message}
            work: Callable[[], None] = partial(
                _emit,
                self._log,
                record.levelname,
                fields,
                _error_of(record.exc_info),
                repairs,
                is_durable=(record.levelno or 0) >= self._durable_from,
            )
            if not is_now:
                work = arrived(work, getattr(record, _STAMP, ()))
            work()
        except Exception as failure:  # boundary: a log record must not stop the program
            self._losses.add(failure)
            self.handleError(record)


class _StampingFactory:
    """A record factory that calls the former one, and stamps what it made."""

    def __init__(self, former: Callable[..., logging.LogRecord]) -> None:
        self.former = former

    def __call__(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = self.former(*args, **kwargs)
        # makeLogRecord gives no name: the record was made elsewhere
        if record.name is not None:
            around = surroundings()
            texts = tuple(dict.fromkeys([*around.texts, *[end.text for end in around.ends]]))
            if texts:
                setattr(record, _STAMP, texts)
        return record


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
    *,
    is_durable: bool = False,
) -> None:
    if error is not None:
        fields = {**fields, "error_type": type(error).__name__, "error_message": text_of(error)}
    if isinstance(fields["message"], str):
        fields = {**fields, "message": fields["message"][:MESSAGE_CHARACTERS_MAX]}
    payload, changes = repair(fields, "payload", log.plain)
    kind = printable(text_of(level).lower())[:LEVEL_CHARACTERS_MAX]
    members = {"repairs": (*repairs, *changes)} if repairs or changes else None
    new = HostEvent(f"record.{kind}", payload, members=members)
    if is_durable:
        with suppress(LogBusy):  # amid an append of this thread, or another process holds the log
            log._host_append((new,))
            return
    log._host_append((new,), timeout_s=None)


def _error_of(exc_info: object) -> BaseException | None:
    """Returns the error that `exc_info` names: true is the one that is handled now."""
    if isinstance(exc_info, tuple) and len(exc_info) == 3:
        exc_info = exc_info[1]
    elif exc_info and not isinstance(exc_info, BaseException):
        exc_info = sys.exception()
    return exc_info if isinstance(exc_info, BaseException) else None
