"""How the verdicts of a run are told: a table of modules, a page of survivors."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from tools.mutants.copy import Mutant
from tools.mutants.judging import KILLED, NO_TESTS, SURVIVED, TIMEOUT

Outcomes = Sequence[tuple[Mutant, str | None]]
ROW = "{:<18} {:>8} {:>7} {:>9} {:>9} {:>9} {:>7} {:>14}"


def told_table(outcomes: Outcomes) -> str:
    """Draw a line for each module, one for all.

    Shares are of all mutants, those that no test enters among them. A mutant that ran into the
    time limit has made something endless, or was slow on a busy machine: the last column counts
    it as killed, the one before it does not.
    """
    modules: defaultdict[str, Counter[str | None]] = defaultdict(Counter)
    for mutant, outcome in outcomes:
        modules[mutant.module][outcome] += 1
    everything: Counter[str | None] = sum(modules.values(), Counter())
    names = ("module", "mutants", "killed", "survived", "timeouts", "no tests", "killed")
    head = ROW.format(*names, "with timeouts")
    rows = [row(name, counts) for name, counts in [*modules.items(), ("all", everything)]]
    return "\n".join([head, *rows])


def row(name: str, counts: Counter[str | None]) -> str:
    """Draw one line."""
    ran = sum(counts.values())
    figures = [counts[word] for word in (KILLED, SURVIVED, TIMEOUT, NO_TESTS)]
    shares = (counts[KILLED] / ran, (counts[KILLED] + counts[TIMEOUT]) / ran)
    return ROW.format(name, ran, *figures, *(f"{share:.1%}" for share in shares))


def told_survivors(outcomes: Outcomes) -> str:
    """Write what was altered in each mutant that was not killed."""
    return "\n".join(
        f"# {mutant.name}: {outcome or 'not run'}\n{mutant.diff}\n"
        for mutant, outcome in outcomes
        if outcome != KILLED
    )
