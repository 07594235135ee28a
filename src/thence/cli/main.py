"""The door of the command `thence`: it runs a command and turns its end into an exit code.

Nothing is imported at its start, so that Ctrl-C ends the command quietly at any moment of
it. The codes: 0 done, 1 failed, 2 usage or bad scenario, 3 damage found, 4 not found,
5 outcome unknown, 130 after Ctrl-C. A closed pipe is quiet and counts as done.
"""

import sys
from collections.abc import Sequence
from typing import NoReturn

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Runs one command, by default that of the process, and exits with its code."""
    try:
        from thence.cli.root import run

        code = run(arguments)
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)
