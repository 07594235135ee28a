"""The door of `python -m thence.sim scenario.yaml`, which is `thence sim run`."""

import sys


def main() -> None:
    """Runs a scenario with the arguments of the command line."""
    from thence.cli.main import main as command

    sys.argv[:1] = ["thence", "sim", "run"]
    command()


if __name__ == "__main__":
    main()
