"""The answer of `why` about the value of one row of a population."""

import msgspec

from thence.cli.output import Output, wrapped
from thence.cli.shared.logs import command
from thence.cli.shared.progress import bar
from thence.cli.shared.render import counted
from thence.log.open import Log
from thence.sim.populations.hooks import are_rows
from thence.sim.results.recorded import read_object

_CHANGES_SHOWN = 10
_READS_SHOWN = 4


def names_row(log: Log, text: str) -> bool:
    """Reports whether a text such as people/817/money names an agent of a run by its row."""
    if not are_rows([text]) or log.vocabulary.name != "sim":
        return False
    agents = read_object(log.folder / "config.json").get("scenario", {}).get("agents", ())
    return any(text.startswith(f"{agent.get('name')}/") for agent in agents)


def explain_row(out: Output, log: Log, subject: str, log_name: str | None) -> None:
    """Writes the changes that led to a row's value."""
    from thence.sim.populations.why import CHAIN_MAX, why_row

    answer = why_row(log.folder, subject)
    if out.is_json:
        out.json(msgspec.to_builtins(answer))
        return
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
    out.write(f"{counted(answer.turns_played, 'turn')} replayed, each as the log has it.")
    if answer.chain:
        out.write(f"next: {command(f'why {answer.chain[0].event_id}', log_name)}")


def measure_row_causes(
    out: Output, log: Log, subject: str, log_name: str | None, runs: int
) -> None:
    """Writes which decisions of rows mattered for a row's value, in so many plays at most."""
    from thence.sim.populations.why import measure_row

    with bar(out, "plays") as show:
        weights = measure_row(log.folder, subject, runs=runs, on_play=show)
    if out.is_json:
        out.json({"subject": subject, "causes": msgspec.to_builtins(weights)})
        return
    for weight in weights:
        words = f"{subject} would be {weight.value}" if weight.matters else "nothing would change"
        out.write(f"{weight.step}  without it {words}")
    mattered = sum(weight.matters for weight in weights)
    out.write("", f"{counted(len(weights), 'play')}, {mattered} mattered.")
    out.write(f"next: {command(f'why {subject}', log_name)}")
