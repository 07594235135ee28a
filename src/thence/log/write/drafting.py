"""Drafts of new events, and of a log's notices about itself; its records for the host program."""

import sys
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from pathlib import Path
from threading import get_ident, main_thread
from typing import TYPE_CHECKING, Any

from thence.core.codec import (
    CAUSES_MAX,
    DATA_BYTES_MAX,
    Draft,
    draft,
    unnumbered,
    with_nonce,
)
from thence.core.cutting import PAYLOAD_BYTES_MAX, without_bodies
from thence.core.event import EventFields
from thence.core.json_values import (
    TYPE_CHARACTERS_MAX,
    Plain,
    is_plain,
    is_type_name,
    printable,
    repair,
)
from thence.core.new_event import HostEvent, id_of
from thence.core.vocabulary import Vocabulary
from thence.errors import InvalidEvent
from thence.log.files.process_state import new_id, new_nonce, now
from thence.log.recovery.sessions import OPENING_SOURCE
from thence.log.write.writer import Report

if TYPE_CHECKING:
    from thence.core.secrets import Masking

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


class Drafting:
    """Drafts the events of the log in a folder, with the member `nonce` if `has_nonces`.

    Texts and lists of `bodies_from` bytes or more are cut out of their lines, unless it is None.

    With a `masking` what is secret by its rules is in no draft, and in no error either.
    """

    masking: "Masking | None" = None

    def __init__(
        self,
        vocabulary: Vocabulary,
        notice: NoticeMaker,
        folder: Path,
        has_nonces: bool,
        plain: Plain,
        bodies_from: int | None = None,
    ) -> None:
        self.plain = plain
        self._vocabulary = vocabulary
        self._has_nonces = has_nonces
        self._notice = notice
        self._bodies_from = bodies_from
        self._bytes_max = DATA_BYTES_MAX if bodies_from is None else PAYLOAD_BYTES_MAX
        self._folder_stream = folder.absolute().name if vocabulary.is_folder_stream else None

    def draft(
        self, new: HostEvent, causes: tuple[str, ...], external: tuple[str, ...] = ()
    ) -> list[Draft]:
        """Returns the event's draft, behind the notices that its causes need.

        `causes` are all causes of the event, `external` those of them that lie in other logs,
        each as `PassedCause.text`. Raises InvalidEvent, EventTooLarge.
        """
        try:
            notices: list[Draft] = []
            if causes:
                causes = tuple(dict.fromkeys(causes))
                if len(causes) > CAUSES_MAX:
                    notices, causes = self._notice.join(causes)
            event_type = new.event_type
            if not is_type_name(event_type):
                raise InvalidEvent(
                    "could not store the event",
                    place="field event_type",
                    cause=f"{event_type!r:.80} is not a text of 1 to {TYPE_CHARACTERS_MAX}"
                    " characters, without control characters",
                    hint="pass a name such as order.placed",
                )
            members = self._members(new)
            payload = members.get(self._vocabulary.payload_key)
            self._vocabulary.refuse_reserved(event_type, payload)
            if payload and not is_plain(payload):
                members[self._vocabulary.payload_key] = self.plain(payload)
            event_id = new_id() if new.event_id is None else new.event_id
            head = (event_id, event_type, 1, new.timestamp or now(), causes, external)
            try:
                event = EventFields(*head, new.begins, new.ends, **members)
            except TypeError as error:
                raise InvalidEvent(
                    "could not store the event",
                    place="field members",
                    cause=error,
                    hint="pass members of the host's form, each once",
                ) from error
            item = whole = draft(event, self._bytes_max)
            if self.masking is not None:
                item = self.masking.draft(item, self._vocabulary, self._bytes_max)
            if self._bodies_from is not None and len(item.tail) >= self._bodies_from:
                same = members.get(self._vocabulary.payload_key) if item is whole else None
                item = without_bodies(item, self._vocabulary, self._bodies_from, same)
            return [*notices, with_nonce(item, new_nonce()) if self._has_nonces else item]
        except InvalidEvent as error:
            if self.masking is None:
                raise
            raise self.masking.error(error) from None

    def subject(self, new: HostEvent) -> str | None:
        """Returns the subject that an event will have, by its host's vocabulary."""
        item = draft(EventFields("-", "-", 1, now(), **self._members(new)))
        return unnumbered(item, self._vocabulary).subject

    def _members(self, new: HostEvent) -> dict[str, Any]:
        stream = new.stream
        if stream is None and (new.begins or new.ends is not None):
            stream = self._folder_stream  # a step without a stream belongs to the log's run
        members = self._vocabulary.members(stream, new.subject, new.actor, new.payload)
        if new.source is not None or new.source_id is not None or new.inferred_causes:
            members |= _imported(new)
        if new.members:
            members.update(new.members)
        return members


def _imported(new: HostEvent) -> dict[str, Any]:
    """Returns the members of an event that was taken over from elsewhere; raises InvalidEvent."""
    inferred = tuple(dict.fromkeys(map(id_of, new.inferred_causes)))
    if (new.source is None) != (new.source_id is None) or len(inferred) > CAUSES_MAX:
        raise InvalidEvent(
            "could not store the event",
            place="field source" if len(inferred) <= CAUSES_MAX else "field inferred_causes",
            cause=f"source and source_id are a pair, and {CAUSES_MAX} causes may be inferred",
            hint="pass both texts or neither, and the nearest causes",
        )
    members = {"source": new.source, "source_id": new.source_id} if new.source else {}
    return members | ({"inferred_causes": inferred} if inferred else {})


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
