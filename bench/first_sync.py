"""The first sync of a log, and a round when all is equal, by the commands of one or more versions.

`python -m bench.first_sync [PROGRAM …]` measures the installed `thence`, and beside it each
program that is named: three rounds in turn, each with a server of its own over loopback, below
the present folder. Half a minute for each program.
"""

import statistics
import sys
import tempfile
from pathlib import Path

import thence
from bench.syncing import PROGRAM, make_log, name_of, team

EVENTS = 100_000
ROUNDS = 3
PARTS = ("push", "pull", "idle")


def main(*others: str) -> None:
    """Prints the seconds of the median round for each program, and the shares of the first."""
    programs = [PROGRAM, *map(Path, others)]
    rounds: dict[Path, list[tuple[float, ...]]] = {program: [] for program in programs}
    for _ in range(ROUNDS):
        for program in programs:
            with tempfile.TemporaryDirectory(prefix=".bench-", dir=Path.cwd()) as name:
                rounds[program].append(_seconds(Path(name), program))
    medians = {
        program: [statistics.median(part) for part in zip(*measured, strict=True)]
        for program, measured in rounds.items()
    }
    for program in programs:
        print(f"{program}: {EVENTS:,} events")
        for part, first_s, own_s in zip(PARTS, medians[PROGRAM], medians[program], strict=True):
            print(f"    {part:<8} {own_s:6.2f} s   ours / this {first_s / own_s:.2f}")


def _seconds(folder: Path, program: Path) -> tuple[float, ...]:
    """Returns the seconds of a push of all, a pull of all, and a round with nothing to do."""
    with team(folder, program) as commands:
        make_log(folder / "log", EVENTS)
        commands.enable(folder / "log")
        push_s = commands.now(folder / "log")
        with thence.open(folder / "clone") as log:
            log.append("begun")
        commands.enable(folder / "clone", "--name", name_of(folder / "log"))
        return push_s, commands.now(folder / "clone"), commands.now(folder / "clone")


if __name__ == "__main__":
    main(*sys.argv[1:])
