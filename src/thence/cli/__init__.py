"""The commands: arguments in, text or JSON out; what they do is done in other rooms."""
