"""The causes of events in a running program."""
