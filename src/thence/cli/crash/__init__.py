"""The command `bench kill`: any program killed at random instants."""
