"""The commands: arguments in, text or JSON out; the work itself is done in other rooms."""
