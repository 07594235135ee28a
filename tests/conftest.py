"""What holds for every test."""

import signal

from hypothesis import HealthCheck, settings

# A shell that runs the tests in the background has Ctrl-C ignored, and so would every program
# that a test starts and interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A deadline on the wall says how busy the machine is, not what the code under test does.
settings.register_profile("thence", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("thence")
