"""The answer of `why` about the value of one row of a population."""

import msgspec

from thence.cli.output import Output, wrapped
from thence.cli.shared.logs import command, open_for_reading
from thence.cli.shared.progress import bar
from thence.cli.shared.render import counted
from thence.log.open import Log
from thence.sim.results.recorded import read_object

_CHANGES_SHOWN = 10
_READS_SHOWN = 4


def answered_row(out: Output, subject: str, log_name: str | None, runs: int) -> bool:
    """Writes the changes that led to a row's value, or which decisions of rows mattered for it.

    They are measured in so many `runs` at most, unless that is 0. Returns False if the log holds no
    agents of this name.
    """

    def has(log: Log) -> bool:
        agents = read_object(log.folder / "config.json").get("scenario", {}).get("agents", ())
        is_named = any(subject.startswith(f"{agent.get('name')}/") for agent in agents)
        return is_named and log.vocabulary.name == "sim"

    with open_for_reading(out, log_name, has=has) as log:
        if not has(log):
            return False
        from thence.sim.populations.why import CHAIN_MAX, measure_row, why_row

        if runs:
            with bar(out, "plays") as show:
                weights = measure_row(log.folder, subject, runs=runs, on_play=show)
        else:
            answer = why_row(log.folder, subject)
    if out.is_json:
        measured = {"subject": subject, "causes": weights} if runs else answer
        out.json(msgspec.to_builtins(measured))
        return True
    if runs:
        for weight in weights:
            effect = (
                f"{subject} would be {weight.value}" if weight.matters else "nothing would change"
            )
            out.write(f"{weight.step}  without it {effect}")
        mattered = sum(weight.matters for weight in weights)
        out.write("", f"{counted(len(weights), 'play')}, {mattered} mattered.")
        out.write(f"next: {command(f'why {subject}', log_name)}")
        return True
    out.write(f"{subject} is {answer.value} after turn {answer.turn}, because")
    for change in answer.chain[:_CHANGES_SHOWN]:
        by = change.by[0] if change.by else "an alteration of the run"
        others_text = f" and {counted(len(change.by) - 1, 'other')}" if len(change.by) > 1 else ""
        was = "new" if change.old is None else f"before {change.old}"
        text = f"{change.subject} became {change.new} ({was}) in turn {change.turn} by {by}"
        reads = [f"{one.subject} {'' if one.value is None else one.value}" for one in change.reads]
        if len(reads) > _READS_SHOWN:
            reads = [*reads[:_READS_SHOWN], f"{len(reads) - _READS_SHOWN} more"]
        read_text = f", which read {', '.join(map(str.rstrip, reads))}" if reads else ""
        out.write(*wrapped(f"{text}{others_text}{read_text}", out.width, "- ", "  "))
    others = len(answer.chain) - _CHANGES_SHOWN
    if not answer.chain:
        out.write("- it began so, and no row has changed it")
    elif others > 0:
        out.write(f"- and {counted(others, 'change')} before, which --json lists")
    or_more = "or more " if len(answer.chain) == CHAIN_MAX else ""
    out.write("", f"{counted(len(answer.chain), f'{or_more}change')} in all.")
    if answer.chain:
        out.write(f"next: {command(f'why {answer.chain[0].event_id}', log_name)}")
    return True
