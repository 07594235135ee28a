"""The command line: arguments in, text or JSON out; with the exit codes, of which 0 is done."""

FAILED = 1
MISUSED = 2
DAMAGED = 3
NOT_FOUND = 4
UNKNOWN = 5
INTERRUPTED = 130
