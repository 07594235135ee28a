"""How many owners of commits and lines are right.

`python -m bench.owners` plays six sessions of agents at once, two of them windows of one process,
with subagents, detached shells and a person, in a worktree each and in one for all: a minute.
"""

import tempfile
from pathlib import Path

from tests.trace.agents import driver


def main() -> None:
    """Prints the tables."""
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        for name, is_one in (("a worktree for each", False), ("one worktree for all", True)):
            scores = driver.play(Path(folder) / name.split()[0], is_one_worktree=is_one)
            print(f"{name:<28} right  wrong  unknown")
            for what, score in zip(ROWS, scores, strict=True):
                print(f"    {what:<22} {score.right:>7} {score.wrong:>6} {score.unknown:>8}")


ROWS = ("commits", "lines")


if __name__ == "__main__":
    main()
