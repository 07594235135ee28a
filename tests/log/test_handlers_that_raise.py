"""Signal handlers that raise at every call of the system: no error of theirs is the disk's."""

import errno
import random
import signal
import sys

import pytest

import thence
from thence.core.vocabulary import PLAIN
from thence.errors import LogBusy
from thence.log.files import disk as disk_errors
from thence.log.open import Log, LogSettings


class Alarm(BaseException):
    """What no `except Exception` catches."""


MOMENTS_MAX = 24
ERRORS = (
    TimeoutError("a handler's"),
    OSError(errno.EIO, "a handler's"),
    FileNotFoundError(errno.ENOENT, "a handler's"),
    ConnectionResetError("a handler's"),
    KeyboardInterrupt(),
    Alarm(),
    ValueError("a handler's"),
    LogBusy("a handler's"),
)


class Interruption:
    """A real signal at the n-th time that a call of the system begins or ends.

    Its handler raises the error. Without an error the times are counted only.
    """

    def __init__(self, moment=0, error=None):
        self.count = 0
        self._moment = moment
        self._error = error

    def __enter__(self):
        self._handler = signal.signal(signal.SIGUSR1, self._raise)
        self._before = sys.getprofile()
        sys.setprofile(self._watch)
        return self

    def __exit__(self, *_):
        sys.setprofile(self._before)
        signal.signal(signal.SIGUSR1, self._handler)

    def _watch(self, frame, event, _):
        if frame.f_code is disk_errors.system_call.__code__ and event in ("c_call", "c_return"):
            self.count += 1
            if self.count == self._moment and self._error is not None:
                signal.raise_signal(signal.SIGUSR1)

    def _raise(self, *_):
        raise self._error


class Scene:
    """A log with what is done to it while the signal comes."""

    FILE_BYTES = 500 * 1024 * 1024

    def __init__(self, folder):
        self.folder = folder
        self.acknowledged = []
        self.begun = []
        self.told = []

    def open(self):
        self.log = Log(
            self.folder,
            PLAIN,
            LogSettings(
                max_file_size=self.FILE_BYTES, report=lambda word, facts: self.told.append(word)
            ),
        )

    def append(self, *numbers):
        self.begun += numbers
        if len(numbers) == 1:
            self.log.append("t", {"n": numbers[0]})
        else:
            self.log.append_many([{"event_type": "t", "payload": {"n": n}} for n in numbers])
        self.acknowledged += numbers

    def before(self):
        self.open()
        self.append(0)

    def work(self):
        self.append(1)

    def judge(self):
        """Go on with the log, then read all that it holds."""
        self.append(100)
        assert self.log.close()
        assert "suspect" not in self.told
        with thence.open(self.folder) as log:
            log.append("last")
            found = [event.payload["n"] for event in log.read() if "n" in event.payload]
            types = {event.event_type for event in log.read()}
            verified = log.verify()
        assert "log.segment_suspect" not in types
        assert len(set(found)) == len(found), found
        assert set(self.acknowledged) <= set(found) <= set(self.begun), (found, self.begun)
        assert verified.ok, verified.findings


class Append(Scene):
    pass


class FirstAppend(Scene):
    def before(self):
        self.open()


class Rotation(Scene):
    FILE_BYTES = 400

    def before(self):
        self.open()
        for n in range(10, 13):
            self.append(n)

    def work(self):
        self.append(1, 2, 3, 4, 5)


class Emitted(Scene):
    def work(self):
        self.begun += [1, 2, 3]
        for n in (1, 2, 3):
            self.log.emit("t", {"n": n})
        self.log.flush()
        self.acknowledged += [1, 2, 3]
        self.append(4)


class Recovery(Scene):
    def before(self):
        self.open()
        self.append(0)
        self.log.close()
        with (self.folder / "events.jsonl").open("ab") as file:
            file.write(b'{"event_id":"half a line')
        self.open()


class Close(Scene):
    def work(self):
        self.log.close()

    def judge(self):
        self.log.close()
        self.open()
        super().judge()


SCENES = (Append, FirstAppend, Rotation, Emitted, Recovery, Close)


def played(scene, moment, error):
    scene.before()
    with Interruption(moment, error) as interruption:
        raised = None
        try:
            scene.work()
        except BaseException as caught:
            raised = caught
    if interruption.count < moment:  # what the committer's thread does is not interrupted
        assert raised is None
    elif isinstance(error, LogBusy):  # one that waits gets a copy
        assert str(raised) == str(error)
    else:
        assert raised is error, "it was swallowed, or taken for another"
    scene.judge()
    return interruption.count


@pytest.mark.promise("P1")
@pytest.mark.parametrize("kind", SCENES)
def test_error_of_a_handler_at_any_call_reaches_its_caller_and_is_not_the_disks(tmp_path, kind):
    moments = played(kind(tmp_path / "counted"), 0, None)
    assert moments
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    for moment in chance.sample(range(1, moments + 1), min(moments, MOMENTS_MAX)):
        error = chance.choice(ERRORS)
        print(moment, repr(error))
        played(kind(tmp_path / f"{moment}"), moment, error)
