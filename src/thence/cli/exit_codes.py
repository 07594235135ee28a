"""The exit codes of the commands; 0 is done."""

FAILED = 1
MISUSED = 2
DAMAGED = 3
NOT_FOUND = 4
UNKNOWN = 5
INTERRUPTED = 130
