"""The entry point of `python -m thence.sim scenario.yaml`, which is `thence sim run`."""

import sys


def main() -> int:
    """Runs a scenario with the arguments of the command line; returns the exit code."""
    from thence.cli.main import main as command

    return command(["sim", "run", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
