"""The command `append`: appends one event from a shell, a script or a hook."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click
import msgspec

from thence.cli.frame import help_with, json_or_text, log_options
from thence.cli.output import current

# above the limit of a payload, so that the refusal names the payload's limit
PAYLOAD_BYTES_MAX = 80 * 1024 * 1024


@click.command(
    "append", **help_with("thence append --log orders order.placed amount=12 --subject order/881")
)
@click.argument("event_type", metavar="TYPE")
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--payload", metavar="JSON", help="A JSON object, or - to read one from stdin.")
@click.option("--subject", help="The subject of the event.")
@click.option("--actor", help="The actor; default: THENCE_ACTOR.")
@click.option("--stream", help="The stream, which groups events.")
@click.option(
    "--caused-by",
    "causes",
    multiple=True,
    metavar="EVENT",
    help="A cause: an id, a prefix of it, @last or @last-error; repeatable.",
)
@click.option(
    "--env",
    "is_env",
    is_flag=True,
    help="Print THENCE_CAUSE=… to export, instead of the id: later events name it as a cause.",
)
@log_options
def append_command(
    event_type: str,
    pairs: tuple[str, ...],
    payload: str | None,
    causes: tuple[str, ...],
    is_env: bool,
    log_name: str | None,
    **words: str | None,
) -> None:
    """Append one event, durable when the command ends.

    A VALUE is JSON if it parses as JSON (12, true, [1,2], "12"), otherwise text. The command prints
    the id of the new event. A log named by --log or THENCE_LOG is created if it is missing. The
    event in THENCE_CAUSE is added as a cause.
    """
    # not for the help, and for completions in a shell
    from thence.cli.shared.locate import find_log, named_log
    from thence.core.bodies import BODIES_FROM
    from thence.log.open import LogSettings, open_host_log

    out = current()
    members = merge_payload(pairs, payload)
    folder = find_log(out, log_name, create=True)
    create, settings = named_log(out, log_name) is not None, LogSettings(bodies_from=BODIES_FROM)
    with open_host_log(folder, settings=settings, create=create, is_made=False) as log:
        # of an event in a simulation's log it is the run: the name of the log's folder
        run = log.folder.absolute().name if log.vocabulary.is_folder_stream else None
        cause_events = []
        for text in causes:
            from thence.core.query.why import named_by, not_found  # seldom needed

            cause = log.resolve(text)
            if named_by(text, cause) != "id":  # a subject or a type is too vague to be a cause
                raise not_found(log.folder, text)
            cause_events.append(cause)
        event = log.append(
            event_type,
            members,
            subject=words["subject"],
            actor=words["actor"] or out.settings.actor,
            stream=words["stream"] or run,
            caused_by=cause_events,
        )
        variables = log.environment(event) if is_env else {}
    numbers = {"seq": event.seq, "lamport_clock": event.lamport_clock}
    lines = [f"{name}={value}" for name, value in variables.items()]
    out.result({"event_id": event.event_id, **numbers, **variables}, lines or [event.event_id])


def merge_payload(pairs: Sequence[str], payload: str | None) -> Mapping[str, Any] | None:
    """Joins KEY=VALUE arguments and a JSON object; a key given twice is refused."""
    members: dict[str, Any] = {}
    if payload is not None:
        data: str | bytes = payload
        if payload == "-":
            data = sys.stdin.buffer.read(PAYLOAD_BYTES_MAX + 1)
            if len(data) > PAYLOAD_BYTES_MAX:
                raise click.UsageError(f"--payload is longer than {PAYLOAD_BYTES_MAX} bytes")
        try:
            members = msgspec.json.decode(data)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise click.UsageError(f"--payload is not JSON: {error}") from error
        if not isinstance(members, dict):
            raise click.UsageError('--payload is JSON, but not an object such as {"amount": 12}')
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"'{pair}' is not KEY=VALUE")
        if key in members:
            how_often = "twice" if payload is None else "more than once, or in --payload too"
            raise click.UsageError(f"'{key}' is given {how_often}")
        members[key] = json_or_text(value)
    return members or None
