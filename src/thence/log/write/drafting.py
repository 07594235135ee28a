"""The notices that a log writes about itself, and its records for the host program."""

import sys
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from threading import get_ident, main_thread
from typing import Any

from thence.core.codec import CAUSES_MAX, Draft, draft
from thence.core.event import EventFields
from thence.core.json_values import printable, repair
from thence.core.vocabulary import Vocabulary
from thence.log.files.process_state import new_id, now
from thence.log.recovery.sessions import OPENING_SOURCE
from thence.log.write.writer import Report

_LISTED_MAX = 3
_REPORT_S_MAX = 1.0


class NoticeMaker:
    """Drafts a log's notices about itself; `context` holds the opener's own members.

    `log_id` returns the id of the log, None while it has none: some hosts name it in a notice.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        context: Mapping[str, Any],
        log_id: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._vocabulary = vocabulary
        self._context = context
        self._log_id = log_id

    def __call__(
        self, kind: str, facts: Mapping[str, Any], causes: Sequence[str] = (), session: str = ""
    ) -> Draft:
        """Returns the draft of a notice of a kind, such as "recovered".

        A notice about the end of a writer session names the session as its source, so that it
        is written once.
        """
        payload, _ = repair(facts)  # a path or an error's text need be no UTF-8
        context = self._context
        if self._vocabulary.log_key and (log_id := self._log_id()):
            context = {self._vocabulary.log_key: log_id, **context}
        event_type, members = self._vocabulary.notice(kind, payload, context)
        if session:
            members |= {"source": OPENING_SOURCE, "source_id": session}
        return draft(EventFields(new_id(), event_type, 1, now(), tuple(causes), **members))

    def join(self, causes: tuple[str, ...]) -> tuple[list[Draft], tuple[str, ...]]:
        """Returns the notices to write before an event, and the causes that the event names.

        ceil(n/32) notices name up to 32 of n causes each. The step is repeated until at most 32
        causes remain. An event with at most 32 causes needs no notice.
        """
        notices: list[Draft] = []
        remaining = causes
        while len(remaining) > CAUSES_MAX:
            groups = [remaining[n : n + CAUSES_MAX] for n in range(0, len(remaining), CAUSES_MAX)]
            layer = [self("joined", {"count": len(group)}, group) for group in groups]
            notices += layer
            remaining = tuple(draft.event_id for draft in layer)
        return notices, remaining


def guarded(report: Report) -> Report:
    """Returns a report function that never raises: no log record may stop the writing of events."""

    def attempt(word: str, facts: Mapping[str, Any]) -> None:
        try:
            report(word, facts)
        except Exception as error:  # boundary: a processor of the user's may raise anything
            try:
                _warn("record_failed", {"record": word, "error": repr(error)})
            except Exception:  # boundary: out of descriptors, not even logging can be imported
                return

    return lambda word, facts: in_other_thread(attempt, word, facts)


def warn(word: str, facts: Mapping[str, Any]) -> None:
    """Reports by the standard library's logging, under the name thence."""
    in_other_thread(_warn, word, facts)


def in_other_thread(report: Report, word: str, facts: Mapping[str, Any]) -> None:
    """Reports in a thread that no signal handler interrupts; waits up to a second for it.

    A handler that raises in the middle of a log record leaves the locks of logging taken for
    ever. Handlers run in the main thread alone: for the main thread another thread reports.
    """
    if get_ident() != main_thread().ident:
        report(word, facts)
        return
    done = allocate_lock()
    done.acquire()

    def run() -> None:
        try:
            context.run(report, word, facts)
        except Exception as error:  # boundary: raised again in the caller's thread
            failures.append(error)
        finally:
            done.release()

    failures: list[Exception] = []
    context = copy_context()
    try:
        start_new_thread(run, ())
    except RuntimeError:  # no more threads, or the interpreter is at its end
        report(word, facts)
    else:
        done.acquire(timeout=_REPORT_S_MAX)
        if failures:
            raise failures[0]


def _warn(word: str, facts: Mapping[str, Any]) -> None:
    """Reports by logging if it was imported, else writes warnings to stderr as logging would.

    Logging is not imported here: the import is not cheap at the start of a command, and Python
    fails where logging is imported during a fork.
    """
    is_warning = word not in ("rotated", "resumed")
    if "logging" in sys.modules:
        import logging

        level = logging.WARNING if is_warning else logging.INFO
        logging.getLogger("thence").log(level, "%s", _text(word, facts))
    elif is_warning and sys.stderr is not None:
        sys.stderr.write(f"{_text(word, facts)}\n")


def _text(word: str, facts: Mapping[str, Any]) -> str:
    """Returns a record as text: the error, if there is one, then the other facts."""
    error = facts.get("error")
    text = word if error is None else f"{word}: {error}"
    rest = ", ".join(f"{name} {_shown(facts[name])}" for name in facts if name != "error")
    return printable(f"{text} ({rest})" if rest else text)


def _shown(value: object) -> str:
    if not isinstance(value, list):
        return str(value)
    rest = len(value) - _LISTED_MAX
    return ", ".join(map(str, value[:_LISTED_MAX])) + (f" and {rest} others" if rest > 0 else "")
