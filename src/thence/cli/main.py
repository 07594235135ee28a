"""The door of the command `thence`: it runs a command and turns its end into an exit code.

Nothing is imported at its start, so that Ctrl-C ends the command quietly at any moment of
it. The codes: 0 done, 1 failed, 2 usage or bad scenario, 3 damage found, 4 not found,
5 outcome unknown, 130 after Ctrl-C. A closed pipe is quiet and counts as done.
"""

from collections.abc import Sequence

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command, by default that of the process, and returns its exit code."""
    import signal

    try:
        from thence.cli.root import run

        return run(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:  # all is written: a Ctrl-C during the interpreter's own end needs no traceback
        signal.signal(signal.SIGINT, signal.SIG_DFL)
