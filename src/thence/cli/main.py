"""The entry point of the command `thence`: it runs a command and returns the exit code.

No slow module is imported at the start, so that Ctrl-C ends the command quietly at any time.
The codes: 0 done, 1 failed, 2 usage or bad scenario, 3 damage found, 4 not found, 5 outcome
unknown, 130 after Ctrl-C. A closed pipe is no error and counts as done.
"""

import sys

from thence.cli import INTERRUPTED

_DELAY_S = 0.02


def main(arguments: list[str] | None = None) -> int:
    """Runs one command, by default that of the process, and returns its exit code."""
    try:
        import signal

        sys.unraisablehook = _interrupt_again
        from thence.cli.frame import run

        code = run(arguments)
        # All output is written: a Ctrl-C while the interpreter ends needs no traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        import signal

        sys.unraisablehook = sys.__unraisablehook__
        signal.setitimer(signal.ITIMER_REAL, 0)  # at the end of Python it would kill the process


def _interrupt_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Raises an error of a signal handler again if Python dropped it inside a callback.

    The error is Ctrl-C, or the SystemExit of a server after SIGTERM.
    """
    error = unraisable.exc_value
    if isinstance(error, KeyboardInterrupt | SystemExit):
        import signal

        def raise_again(*_: object) -> None:
            raise type(error)(*error.args)

        # a timer raises it outside this callback; the start of a thread would take too long here
        signal.signal(signal.SIGALRM, raise_again)
        signal.setitimer(signal.ITIMER_REAL, _DELAY_S)
    else:
        sys.__unraisablehook__(unraisable)
