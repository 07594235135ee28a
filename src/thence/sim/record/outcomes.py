"""The recorded outcomes of a run: what a component learned from outside, such as a model's answer.

State and seed don't determine such an outcome. It is written to `outcomes.jsonl` in the run's
folder, before any event that depends on it, and taken from there when the run is resumed, replayed
or branched. An outcome is found by the step that asked, by its request, and by how often that step
asked for the same before.
"""

import os
import weakref
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from threading import Lock
from typing import Any

import msgspec

from thence.core.ready import ready
from thence.errors import InvalidEvent, RunDiverged, ThenceError

FILE = "outcomes.jsonl"
CALL = "llm_call"  # the kind of a model's answer
Key = tuple[str, str, int]  # step, SHA-256 of the request, occurrence
_NOT_KEPT = "could not record what a component learned"
_encode = msgspec.json.Encoder(order="deterministic").encode


class RecordedOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """One recorded outcome: `value`, a JSON value, or the `error` that the call raised.

    `is_copied` if a branch took it from the run before, which had paid for it.
    """

    step: str
    request: str
    occurrence: int
    value: Any = None
    error: str | None = None
    is_copied: bool = False


_decode = msgspec.json.Decoder(ready(RecordedOutcome)).decode


class Outcomes:
    """The outcomes of one run; safe from threads.

    New ones are appended to `file`, if one is given; `recorded` are those of an earlier process,
    or, with `copies`, of another run: what is taken from there is appended too. Unless `may_ask`,
    what is not known is an error.
    """

    def __init__(
        self,
        file: Path | None = None,
        recorded: Mapping[Key, RecordedOutcome] | None = None,
        *,
        copies: bool = False,
        may_ask: bool = True,
    ) -> None:
        self._file = file
        self._copies = copies
        self._may_ask = may_ask
        self._known = recorded or {}
        self._counts: dict[tuple[str, str], int] = {}
        self._lock = Lock()
        self._opened: int | None = None
        self._is_unsynced = False

    @property
    def own(self) -> Iterable[RecordedOutcome]:
        """The outcomes that earlier processes of this run paid for."""
        recorded = () if self._copies else self._known.values()
        return [outcome for outcome in recorded if not outcome.is_copied]

    def key(self, step: str, request: object) -> Key:
        """Returns the key of the next outcome of a request at a step.

        Raises InvalidEvent for a request that JSON can't hold.
        """
        digest = request_digest(request)
        with self._lock:
            count = self._counts.get((step, digest), 0)
            self._counts[step, digest] = count + 1
        return step, digest, count

    def known(self, key: Key) -> RecordedOutcome | None:
        """Returns a recorded outcome; None where the caller has to ask.

        Raises RunDiverged where nothing is recorded and nothing may be asked.
        """
        outcome = self._known.get(key)
        if outcome is None and not self._may_ask:
            cause = "it asks for something whose outcome was not recorded"
            raise diverged(key[0], cause, "thence sim branch plays on with new outcomes")
        if outcome is not None and self._copies:
            self._keep(msgspec.structs.replace(outcome, is_copied=True))
        return outcome

    def record(self, key: Key, value: object = None, error: str | None = None) -> RecordedOutcome:
        """Records an outcome and returns it, its value as JSON gives it back.

        Raises InvalidEvent for a value that JSON can't hold.
        """
        try:
            plain = msgspec.json.decode(_encode(value))
        except (TypeError, ValueError, RecursionError) as cause:
            raise _no_json("answer", cause) from cause
        outcome = RecordedOutcome(*key, plain, error)
        self._keep(outcome)
        return outcome

    def amend(self, key: Key, value: object) -> None:
        """Records another value for an outcome that is recorded; the last one counts."""
        earlier = self._known.get(key)
        is_copied = earlier is not None and (self._copies or earlier.is_copied)
        self._keep(RecordedOutcome(*key, msgspec.json.decode(_encode(value)), is_copied=is_copied))

    def sync(self) -> None:
        """Returns once all that was recorded is on the device; raises ThenceError."""
        with self._lock:
            if self._is_unsynced and self._opened is not None:
                self._is_unsynced = False
                try:
                    os.fsync(self._opened)
                except OSError as error:
                    raise self._failure(error) from error

    def _keep(self, outcome: RecordedOutcome) -> None:
        """Writes an outcome at once, so that a kill later in the turn loses no answer."""
        if self._file is None:
            return
        data = msgspec.json.encode(outcome) + b"\n"
        with self._lock:
            try:
                if self._opened is None:
                    self._opened = os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
                    self._release = weakref.finalize(self, os.close, self._opened)
                self._is_unsynced = True
                size = os.fstat(self._opened).st_size
                if size and os.pread(self._opened, 1, size - 1) != b"\n":
                    data = b"\n" + data  # after a line that a kill or a full disk cut short
                os.lseek(self._opened, 0, os.SEEK_END)
                while data:
                    data = data[os.write(self._opened, data) :]
            except OSError as error:
                raise self._failure(error) from error

    def _failure(self, error: OSError) -> ThenceError:
        hint = "make room on the disk; thence sim resume continues from there"
        return ThenceError(_NOT_KEPT, place=self._file, cause=error.strerror or error, hint=hint)


def diverged(step: str, cause: str, hint: str) -> RunDiverged:
    """Returns the error for a run that comes to something else than it has recorded at a step."""
    what = "could not replay the run as it was recorded"
    error = RunDiverged(what, place=f"at {step}", cause=cause, hint=hint)
    error.step = step
    return error


def read_outcomes(folder: Path, name: str = FILE) -> dict[Key, RecordedOutcome]:
    """Returns the recorded outcomes of the run in a folder, by key; a torn line is left out."""
    file = folder / name
    outcomes = read_lines(file) if file.exists() else ()
    return {(entry.step, entry.request, entry.occurrence): entry for entry in outcomes}


def request_digest(request: object) -> str:
    """Returns the SHA-256 of a request; raises InvalidEvent for one that JSON can't hold."""
    try:
        return sha256(_encode(request)).hexdigest()
    except (TypeError, ValueError, RecursionError) as error:
        raise _no_json("request", error) from error


def read_lines(file: Path) -> Iterator[RecordedOutcome]:
    """Yields the outcomes in a file, without torn lines; raises OSError."""
    for line in file.read_bytes().split(b"\n"):
        try:
            yield _decode(line)
        except msgspec.MsgspecError:
            continue


def _no_json(what: str, cause: Exception) -> InvalidEvent:
    hint = "pass text, finite numbers, booleans, None, lists and maps"
    return InvalidEvent(_NOT_KEPT, place=f"its {what}", cause=cause, hint=hint)
