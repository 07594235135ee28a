"""What a log says about itself: notices in the log, records for the program that opened it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from thence.core.codec import Draft, Members, draft
from thence.core.payload import repair
from thence.core.vocabulary import Vocabulary
from thence.log.process import new_id, now
from thence.log.writer import Tell


class NoticeMaker:
    """Drafts what a log says about itself; `context` holds the opener's own members.

    `log_id` tells the id of the log, None while it has none: some hosts name it in a notice.
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

    def __call__(self, kind: str, facts: Mapping[str, Any], causes: Sequence[str] = ()) -> Draft:
        """Returns the draft of a notice of a kind, such as "recovered"."""
        told, _ = repair(facts)  # a path or an error's text need be no UTF-8
        context = self._context
        if self._vocabulary.log_key and (log_id := self._log_id()):
            context = {self._vocabulary.log_key: log_id, **context}
        event_type, members = self._vocabulary.notice(kind, told, context)
        return draft(Members(new_id(), event_type, 1, now(), tuple(causes), **members))

    def joined(self, causes: Sequence[str]) -> Draft:
        """Returns the notice that stands for up to 32 causes."""
        return self("joined", {"count": len(causes)}, causes)


def guarded(tell: Tell) -> Tell:
    """Returns a `tell` that never raises: no log record may stop the writing of events."""

    def told(word: str, facts: Mapping[str, Any]) -> None:
        try:
            tell(word, facts)
        except Exception as error:  # door: a processor of the user's may raise anything
            try:
                warn("record_failed", {"record": word, "error": repr(error)})
            except Exception:  # door: out of descriptors, not even logging can be imported
                return

    return told


def warn(word: str, facts: Mapping[str, Any]) -> None:
    """Tells by the standard library's logging, under the name thence."""
    import logging  # seldom needed, and not cheap at the start of a command

    level = logging.INFO if word in ("rotated", "resumed") else logging.WARNING
    logging.getLogger("thence").log(level, "%s: %s", word, dict(facts))
