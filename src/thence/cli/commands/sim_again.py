"""The commands that play a run again: `sim resume`, `sim replay`, `sim branch`."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from thence.cli.commands.sim_runs import root_option
from thence.cli.groups import help_with, json_option, verbosity_options
from thence.cli.output import Output, current

if TYPE_CHECKING:
    from thence.sim.orchestrator import SimulationOrchestrator
    from thence.sim.waits import OnWait


@click.command("resume", **help_with("thence sim resume my-run"))
@click.argument("run")
@click.option("--turns", type=click.IntRange(min=1), help="Another number of turns at most.")
@json_option
@verbosity_options
def resume_command(run: str, turns: int | None, is_json: bool) -> int:
    """Play a run on where a kill, Ctrl-C or a failure ended it.

    RUN is a run's id or its folder. It begins at the newest checkpoint; what it comes to again must
    be as it was recorded. Answers that were recorded are not asked for again. Nothing is done for a
    run that is completed, unless --turns is given.
    """
    from thence.cli.shared.locate import find_log
    from thence.sim.again import resume
    from thence.sim.recorded.run import RecordedRun

    out = current()
    folder = find_log(out, run)
    with RecordedRun(folder) as recorded:
        result = recorded.result
    if turns is None and result.get("status") == "completed":
        if is_json:
            out.json(result)
        else:
            reason = result.get("reason", "its end was reached")
            out.write(f"run {recorded.run_id} is completed: {reason}; nothing is left to play")
            out.write(f"next: thence sim resume {run} --turns NUMBER")
        return 0
    return _played(
        out,
        is_json,
        lambda show, wait: resume(folder, max_turns=turns, on_turn=show, on_wait=wait),
    )


@click.command("replay", **help_with("thence sim replay my-run"))
@click.argument("run")
@json_option
@verbosity_options
def replay_command(run: str, is_json: bool) -> int:
    """Play a run again in memory, and compare all its events.

    RUN is a run's id or its folder. Nothing is written, and nothing outside is asked. Exit code 1
    if an event differs; the first one is named.
    """
    import msgspec

    from thence.cli.exit_codes import FAILED
    from thence.cli.shared.locate import find_log
    from thence.cli.shared.progress import turns_played
    from thence.cli.shared.run_progress import send_records_to_stderr
    from thence.sim.again import replay

    out = current()
    folder = find_log(out, run)
    with turns_played(out) as (on_turn, on_wait):
        send_records_to_stderr(out, names_waits=on_wait is None)
        found = replay(folder, on_turn=on_turn, on_wait=on_wait)
    if is_json:
        out.json(msgspec.structs.asdict(found))
    elif not found.step:
        out.write(f"the same: {found.turns} turns, {found.events} events, content {found.sha256}")
    else:
        out.write(f"not the same: the first difference is at {found.step}")
        out.write(f"  {found.difference}")
    return FAILED if found.step else 0


@click.command(
    "branch", **help_with("thence sim branch my-run --at 12 --set place.Mill.price_grain=9.5")
)
@click.argument("run")
@click.option("--at", type=click.IntRange(min=0), required=True, help="The last turn in common.")
@click.option(
    "--set",
    "values",
    metavar="SUBJECT=VALUE",
    multiple=True,
    help="A variable's value at the end of that turn, such as agent.ada.money=5.",
)
@click.option(
    "--decide",
    "decisions",
    metavar="STEP=ACTION",
    multiple=True,
    help="Another decision, an action as JSON, or null for none.",
)
@click.option("--turns", type=click.IntRange(min=1), help="Another number of turns at most.")
@root_option
@json_option
@verbosity_options
def branch_command(
    run: str,
    at: int,
    values: tuple[str, ...],
    decisions: tuple[str, ...],
    turns: int | None,
    root: str | None,
    is_json: bool,
) -> int:
    """Play a run on from one of its turns, with something changed.

    RUN is a run's id or its folder. The new run has a folder of its own, and records its parent and
    the changes. `thence diff RUN NEW-RUN` shows what came of them.
    """
    from thence.cli.shared.locate import find_log
    from thence.sim.again import branch

    out = current()
    changes = _pairs("--set", values), _pairs("--decide", decisions)
    folder = find_log(out, run)
    return _played(
        out,
        is_json,
        lambda show, wait: branch(
            folder,
            at,
            set=changes[0],
            decide=changes[1],
            output_root=root,
            max_turns=turns,
            on_turn=show,
            on_wait=wait,
        ),
    )


def _played(
    out: Output,
    is_json: bool,
    make: "Callable[[Callable[[Any], None], OnWait | None], SimulationOrchestrator]",
) -> int:
    """Plays the run that `make` returns, and reports its end; returns the exit code."""
    from thence.cli.shared.progress import progress
    from thence.cli.shared.run_progress import play_to_end, report_end

    with progress(out) as display:
        result = play_to_end(out, make, display)
    return report_end(out, result, is_json=is_json)


def _pairs(option: str, given: tuple[str, ...]) -> dict[str, object]:
    """Returns NAME=VALUE pairs; a value is JSON, or else a text as it stands."""
    found: dict[str, object] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=option)
        try:
            found[name] = json.loads(value)
        except ValueError:
            if option == "--decide":
                reason = f"{value!r} is no JSON; write '{{\"action_type\": …}}' or null"
                raise click.BadParameter(reason, param_hint=option) from None
            found[name] = value
    return found
