"""Runs mutants of core or log: `make mutants ARGS=core`, `ARGS="log/writer --sample 0.3"`.

First every mutant meets the quick tests that bear on its function, those of its own module before
others; then those that are left meet the slower ones. Verdicts are kept in mutants/, so a
run that was cut short goes on, and one after new tests looks at the survivors alone; `--again`
forgets them. What survived is written, with what was altered, to mutants/survivors-*.txt.
"""

import argparse
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import PurePath

from mutmut.mutation.data import SourceFileMutationData
from tools.mutants import copy
from tools.mutants.bearing import PLACES, Bearing, learn, test_files
from tools.mutants.copy import Mutant
from tools.mutants.judging import KILLED, NO_TESTS, SURVIVED, TIMEOUT, Task, Verdict, judge
from tools.mutants.lines import altered, body_of
from tools.mutants.table import told_survivors, told_table

# as taken while it is noted what a test enters, some five times as long as without
QUICK_S_MAX = 1.5
SLOW_S_MAX = 20.0
TESTS_S_MAX = 40.0
PATIENCE_S = 10.0
PATIENCE_FACTOR = 5.0
TELL_EVERY_S = 15.0
EXIT_CODES = {KILLED: 1, SURVIVED: 0, TIMEOUT: 36, NO_TESTS: 33}


class Run:
    """The mutants of a run with the verdicts so far."""

    def __init__(self, mutants: list[Mutant], bearing: Bearing) -> None:
        self.mutants = {mutant.name: mutant for mutant in mutants}
        self.bearing = bearing
        self.by_line = bearing.by_line()
        self.kept: dict[str, SourceFileMutationData] = {
            module: copy.verdicts_of(module) for module in {each.module for each in mutants}
        }
        self.killers: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.told_s = time.monotonic()

    def outcome(self, mutant: Mutant) -> str | None:
        """Look up the verdict on a mutant."""
        code = self.kept[mutant.module].exit_code_by_key[mutant.name]
        return next((word for word, one in EXIT_CODES.items() if one == code), None)

    def controls(self) -> Iterator[Task]:
        """Put no mutant at all to each test that has not passed so on the copy yet."""
        known = {*self.bearing.failed, *self.bearing.passed}
        for test, took_s in self.bearing.took_s.items():
            if test not in known and took_s <= SLOW_S_MAX:
                yield Task("", [(test, PATIENCE_S + PATIENCE_FACTOR * took_s)])

    def keep(self, verdict: Verdict) -> None:
        """Keep a verdict; tell now and then how far the run is."""
        if not verdict.task.mutant:
            has_passed = verdict.outcome == SURVIVED
            judged = self.bearing.passed if has_passed else self.bearing.failed
            judged.append(verdict.task.tests[0][0])
            return
        mutant = self.mutants[verdict.task.mutant]
        data = self.kept[mutant.module]
        data.exit_code_by_key[mutant.name] = EXIT_CODES[verdict.outcome]
        data.save()
        if verdict.outcome == KILLED:
            self.killers[mutant.function][verdict.test] += 1
        if verdict.outcome == TIMEOUT:
            print(f"timeout: {mutant.name} in {verdict.test}", file=sys.stderr, flush=True)
        if time.monotonic() > self.told_s + TELL_EVERY_S:
            self.told_s = time.monotonic()
            outcomes = Counter(self.outcome(each) for each in self.mutants.values())
            words = ", ".join(f"{word or 'to come'} {n}" for word, n in outcomes.items())
            print(f"{mutant.module}: {words}", file=sys.stderr, flush=True)

    def tasks(self, longer_s: float, up_to_s: float, passed_over: set[str]) -> Iterator[Task]:
        """Put mutants, but those of some verdicts, to the tests that take so long."""
        for mutant in self.mutants.values():
            outcome = self.outcome(mutant)
            if outcome in passed_over:
                continue
            tests = self.tests_for(mutant, longer_s, up_to_s)
            if tests:
                yield Task(mutant.name, tests)
            elif outcome not in (SURVIVED, TIMEOUT):
                self.kept[mutant.module].exit_code_by_key[mutant.name] = EXIT_CODES[NO_TESTS]

    def running(self, module: str, lines: set[int]) -> set[str]:
        """List the tests that run one of some lines in their own process."""
        return {test for line in lines for test in self.by_line.get((module, line), ())}

    def tests_for(self, mutant: Mutant, longer_s: float, up_to_s: float) -> list[tuple[str, float]]:
        """Choose tests, the likeliest killers first, up to a sum of seconds.

        They are those that run the altered line, and those that enter its function in another
        process; where the line is not known, all that enter the function.
        """
        took_s = self.bearing.took_s
        killers = self.killers[mutant.function]
        passed = set(self.bearing.passed)
        module = PurePath(mutant.module)

        def likeliest(test: str) -> tuple[int, int, float]:
            file = PurePath(test.split("::")[0])
            far = (
                2 - (file.parent.name == module.parent.name) - (file.stem == f"test_{module.name}")
            )
            return -killers[test], far, took_s[test]

        entering = self.bearing.tests_on(mutant.function)
        if lines := altered(mutant):
            running = self.running(mutant.module, lines)
            inside = self.running(mutant.module, body_of(mutant))
            entering = [*running, *(test for test in entering if test not in inside)]
        tests = [test for test in entering if longer_s < took_s[test] <= up_to_s and test in passed]
        chosen: list[tuple[str, float]] = []
        sum_s = 0.0
        for test in sorted(tests, key=likeliest):
            sum_s += took_s[test]
            if chosen and sum_s > TESTS_S_MAX:
                break
            chosen.append((test, PATIENCE_S + PATIENCE_FACTOR * took_s[test]))
        return chosen


def sampled(mutants: list[Mutant], share: float, seed: int) -> list[Mutant]:
    """Draw a share of each module's mutants."""
    chance = random.Random(seed)
    modules: defaultdict[str, list[Mutant]] = defaultdict(list)
    for mutant in mutants:
        modules[mutant.module].append(mutant)
    drawn = []
    for those in modules.values():
        count = max(1, round(share * len(those)))
        drawn += sorted(chance.sample(those, count), key=those.index)
    return drawn


def main() -> int:
    """Make the copy, run the mutants, tell."""
    asked = arguments()
    copy.make(asked.workers)
    copy.prepare()
    mutants = copy.mutants_of(asked.what)
    room = asked.what.split("/")[0]
    if not mutants or room not in PLACES:
        print(f"no mutants of {asked.what}: name core, log or a module as log/writer")
        return 2
    if asked.sample < 1:
        mutants = sampled(mutants, asked.sample, asked.seed)
    files = test_files(room)
    run = Run(mutants, learn(room, asked.workers))
    if asked.again:
        for mutant in mutants:
            run.kept[mutant.module].exit_code_by_key[mutant.name] = None

    def passes() -> Iterator[Task]:
        yield from run.controls()
        run.bearing.save(room)
        done = {KILLED, SURVIVED, TIMEOUT} if asked.resume else {KILLED}
        yield from run.tasks(0.0, QUICK_S_MAX, done)
        if not asked.quick:
            yield from run.tasks(QUICK_S_MAX, SLOW_S_MAX, {KILLED, TIMEOUT})

    judge(files, passes(), run.keep, asked.workers)
    for data in run.kept.values():
        data.save()
    outcomes = [(mutant, run.outcome(mutant)) for mutant in mutants]
    page = copy.COPY / f"survivors-{asked.what.replace('/', '-')}.txt"
    page.write_text(told_survivors(outcomes))
    print(told_table(outcomes))
    if asked.sample < 1:
        print(f"a sample: {asked.sample:.0%} of each module's mutants, seed {asked.seed}")
    if asked.quick:
        print(f"put to tests of at most {QUICK_S_MAX} s alone")
    if run.bearing.failed:
        print(f"left out, for they fail without a mutant: {', '.join(run.bearing.failed)}")
    print(f"survivors with what was altered: {page.relative_to(copy.ROOT)}")
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="make mutants", description="run mutants")
    parser.add_argument("what", nargs="?", default="core", help="core, log, log/writer")
    parser.add_argument("--sample", type=float, default=1.0, help="a share of each module's")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="forget all verdicts first")
    parser.add_argument("--quick", action="store_true", help="leave out the slower tests")
    parser.add_argument("--resume", action="store_true", help="leave those that survived alone")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
