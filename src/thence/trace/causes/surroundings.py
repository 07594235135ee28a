"""The causes around some code, taken along to be around other code too."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from thence.core.new_event import PassedCause
from thence.log.causes import (
    CauseScope,
    OpenStep,
    SpanScope,
    carrying,
    current_causes,
    current_passed,
    current_step,
    current_trace,
    ends_in_hand,
    inner_span,
    span_watch,
)

_R = TypeVar("_R")


class Surroundings(NamedTuple):
    """The causes around some code, to be around other code too.

    `ends` are those of failed steps whose error is being handled. `span` is the innermost cause,
    where that is a span, `spans` the tracer's own context.
    """

    causes: tuple[str, ...]
    passed: tuple[PassedCause, ...]
    step: OpenStep | None
    ends: tuple[PassedCause, ...]
    trace: tuple[str, str] | None = None
    span: SpanScope | None = None
    spans: object = None

    @property
    def texts(self) -> list[str]:
        """Each cause as a token names it: with its log, where that is known."""
        texts = {cause.event_id: cause.text for cause in self.passed}
        return [texts.get(event_id, event_id) for event_id in self.causes]

    def run(self, work: Callable[[], _R]) -> _R:
        """Runs work inside of these."""
        watch = span_watch() if self.spans is not None else None
        token = None if watch is None else watch.attach(self.spans)
        block = CauseScope(self.causes, self.step, passed=self.passed, trace=self.trace)
        try:
            return carrying(self.ends, work)
        finally:
            block.leave()
            if watch is not None:
                watch.detach(token)


def surroundings() -> Surroundings:
    """Returns the causes around the caller."""
    step, trace = current_step(), current_trace()
    watch = span_watch()
    spans = None if watch is None else watch.context()
    return Surroundings(
        current_causes(), current_passed(), step, ends_in_hand(), trace, inner_span(), spans
    )
