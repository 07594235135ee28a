"""A server beside a run that plays, so that it can be watched."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class ServerBeside:
    """A server in a process of its own; its address is `url`, "" where it did not begin."""

    def __init__(self, process: "subprocess.Popen[str]", url: str) -> None:
        self._process = process
        self.url = url

    def wait(self) -> None:
        """Returns when the server ends, as it does after Ctrl-C."""
        with suppress(KeyboardInterrupt):
            self._process.wait()


@contextmanager
def serving_beside(folder: Path) -> Iterator[ServerBeside]:
    """Serves a folder of runs until the block ends, on port 8377 or the next free one.

    The folder is made if there is none. A server that does not begin says why on stderr.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = (sys.executable, "-m", "thence", "serve", "--quiet", str(folder))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield ServerBeside(process, process.stdout.readline().strip())
        finally:
            process.terminate()
