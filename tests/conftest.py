"""What holds for every test."""

import signal

# A shell that runs the tests in the background has Ctrl-C ignored, and so would every program
# that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)
