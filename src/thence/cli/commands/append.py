"""The command `append`: one event from a shell, a script or a hook."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from thence.cli.groups import HELP_NAMES, json_option, log_option, talks
from thence.cli.voice import current

if TYPE_CHECKING:
    from thence.replica import Log

# more than an event can hold, so that the refusal names the event's limit
PAYLOAD_BYTES_MAX = 2 * 1024 * 1024
_EXAMPLE = """\b
Example:
  thence append --log orders order.placed amount=12 --subject order/881"""


@click.command("append", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@click.argument("event_type", metavar="TYPE")
@click.argument("pairs", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--payload", metavar="JSON", help="A JSON object, or - to read one from stdin.")
@click.option("--subject", help="What the event is about.")
@click.option("--actor", help="Who did it; else THENCE_ACTOR.")
@click.option("--stream", help="What groups it with others.")
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
    help="Write THENCE_CAUSE=… instead of the id, for export: what follows is caused by it.",
)
@log_option
@json_option
@talks
def append_command(
    event_type: str,
    pairs: tuple[str, ...],
    payload: str | None,
    causes: tuple[str, ...],
    is_env: bool,
    log: str | None,
    is_json: bool,
    **words: str | None,
) -> None:
    """Append one event, durable when the command ends.

    A VALUE is JSON if it parses as JSON (12, true, [1,2], "12"), else text. The new event's
    id is written to stdout. A log named by --log or THENCE_LOG is made if it is missing. The
    cause that THENCE_CAUSE hands on is added.
    """
    from thence.cli.shared.locate import find_log, named_log
    from thence.replica import open_log

    voice = current()
    held = merged(pairs, payload)
    folder = find_log(voice, log, create=True)
    with open_log(folder, create=named_log(voice, log) is not None) as replica:
        named = [replica.answers.find(cause, by_subject=False) for cause in causes]
        event = replica.append(
            event_type,
            held,
            subject=words["subject"],
            actor=words["actor"] or voice.settings.actor,
            stream=words["stream"] or _run_of(replica),
            caused_by=named,
        )
        handed_on = replica.environment(event) if is_env else {}
    if is_json:
        numbers = {"seq": event.seq, "lamport_clock": event.lamport_clock}
        voice.json({"event_id": event.event_id, **numbers, **handed_on})
    elif handed_on:
        voice.say(*(f"{name}={value}" for name, value in handed_on.items()))
    else:
        voice.say(event.event_id)


def _run_of(replica: "Log") -> str | None:
    """Returns the run that an event of a simulation's log belongs to: its folder's name."""
    return replica.folder.absolute().name if replica.vocabulary.is_folder_stream else None


def merged(pairs: Sequence[str], payload: str | None) -> Mapping[str, Any] | None:
    """Joins KEY=VALUE arguments and a JSON object; a key given twice is refused."""
    held: dict[str, Any] = {} if payload is None else _decoded(payload)
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise click.UsageError(f"'{pair}' is no KEY=VALUE", click.get_current_context())
        if key in held:
            both = "twice" if payload is None else "more than once, or in --payload too"
            raise click.UsageError(f"'{key}' is given {both}", click.get_current_context())
        held[key] = _json_or_text(value)
    return held or None


def _decoded(payload: str) -> dict[str, Any]:
    import msgspec

    data: str | bytes = payload
    if payload == "-":
        data = sys.stdin.buffer.read(PAYLOAD_BYTES_MAX + 1)
        if len(data) > PAYLOAD_BYTES_MAX:
            raise _bad_payload(f"is longer than {PAYLOAD_BYTES_MAX} bytes")
    try:
        held = msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _bad_payload(f"is no JSON: {error}") from error
    if not isinstance(held, dict):
        raise _bad_payload('is JSON, but no object such as {"amount": 12}')
    return held


def _bad_payload(reason: str) -> click.UsageError:
    return click.UsageError(f"--payload {reason}", click.get_current_context())


def _json_or_text(value: str) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return value
