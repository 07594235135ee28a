"""The door of the command `thence`: it runs a command and turns its end into an exit code.

Nothing that takes time is imported at its start, so that Ctrl-C ends the command quietly
at any moment of it. The codes: 0 done, 1 failed, 2 usage or bad scenario, 3 damage found,
4 not found, 5 outcome unknown, 130 after Ctrl-C. A closed pipe is quiet and counts as done.
"""

import sys

from thence.cli.exit_codes import INTERRUPTED

_AGAIN_S = 0.02


def main(arguments: list[str] | None = None) -> int:
    """Runs one command, by default that of the process, and returns its exit code."""
    try:
        import signal

        sys.unraisablehook = _interrupt_again
        from thence.cli.root import run

        code = run(arguments)
        # All is written: a Ctrl-C during the interpreter's own end needs no traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        return code
    except KeyboardInterrupt:
        return INTERRUPTED


def _interrupt_again(dropped: "sys.UnraisableHookArgs") -> None:
    """Raises again what a signal raised while a callback ran whose errors Python drops.

    That is Ctrl-C, or the end that a server comes to by SIGTERM.
    """
    end = dropped.exc_value
    if isinstance(end, KeyboardInterrupt | SystemExit):
        import signal

        def again(*_: object) -> None:
            raise type(end)(*end.args)

        # later: not inside this callback; by the system: to start a thread here takes too long
        signal.signal(signal.SIGALRM, again)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN_S)
    else:
        sys.__unraisablehook__(dropped)
