"""What happens, with causes: in a running program, in its traces, by coding agents."""
