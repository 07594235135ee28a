"""A program that becomes an agent, once it gets a message with the agent's command.

`agent_process.start` starts it by its path, with `-I -S` and two descriptors as arguments. From the
first it reads the agent's arguments and variables. To the second it writes the error if it can't
become the agent. If the starting process dies before the message is complete, nothing is begun. The
agent has stdin, stdout and stderr open, no other descriptor, and signals as a shell leaves them.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence

_READ_BYTES = 65_536
_NOT_STARTED = 127


def message(argv: Sequence[str], variables: Mapping[str, str]) -> bytes:
    """Returns the message with an agent's command, with its size before it.

    Raises ValueError for arguments or variables that no program can be given.
    """
    if not argv or any("=" in name or not name for name in variables):
        raise ValueError("no program, or a variable without a proper name")
    words = [*argv, *(f"{name}={value}" for name, value in variables.items())]
    if any("\0" in word for word in words):
        raise ValueError("embedded null byte")
    message_bytes = b"\0".join(map(os.fsencode, (str(len(argv)), *words)))
    return b"%d\0%b" % (len(message_bytes), message_bytes)


def become(message_bytes: bytes) -> None:
    """Becomes the agent of a message; raises OSError if that fails."""
    count, *words = message_bytes.split(b"\0")
    argv, received = words[: int(count)], words[int(count) :]
    variables = dict(word.split(b"=", 1) for word in received)
    for name in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and a child inherits that
        signal.signal(name, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execvpe(argv[0], argv, variables)


def main(asked: int, answer: int) -> None:
    """Reads a message and becomes its agent, or writes the error to `answer`."""
    received = b""
    while read := os.read(asked, _READ_BYTES):
        received += read
    os.close(asked)
    os.set_inheritable(answer, False)
    size, _, message_bytes = received.partition(b"\0")
    if size and len(message_bytes) == int(size):
        try:
            become(message_bytes)
        except OSError as error:
            os.write(answer, (error.strerror or str(error)).encode())
    sys.exit(_NOT_STARTED)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
