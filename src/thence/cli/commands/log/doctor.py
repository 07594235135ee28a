"""The command `doctor`: checks this machine, this folder and the state of a log, in 8 reads.

1. install: the packages of the base install are imported.
2. disk: the type of the filesystem and the room that is left.
3. writing: a small file is made, written, synced and removed.
4. log: its settings and node, the names and sizes of its segments.
5. events: the newest line, and notices of events that a program lost.
6. writers: the append lock, how those who had the log open ended, and what was moved aside.
7. shared: the lines of a project's shared files that are passed over.
8. hooks: what hooks of agents left, masking, and when those of each tool last fired.
"""

import json
import platform
from contextlib import suppress
from importlib import import_module, metadata
from pathlib import Path
from shlex import quote

import click

from thence import __version__
from thence.cli import DAMAGED, FAILED
from thence.cli.frame import help_with, log_options
from thence.cli.output import Painted, current, wrapped
from thence.cli.shared.locate import find_log, is_log_of_agents, named_log
from thence.errors import NotALog, ThenceError
from thence.log.files.disk import OS_DISK
from thence.log.files.health import Check, checked, disk_check, joined

PACKAGES = ("msgspec", "click", "rich", "structlog", "ruamel.yaml")
_REINSTALL = "reinstall thence: `pip install --force-reinstall thence`"
_LOSSES = ["log.events_dropped", "log.write_failed"]
_NAME_COLUMNS = len("install")


@click.command("doctor", **help_with("thence doctor --log output/my-run"))
@log_options
def doctor_command(log_name: str | None) -> int:
    """Check the machine, the folder, and the state of a log.

    Without a log it checks this folder. It writes nothing. Exit code 0: all is ok; 1: a check
    failed; 3: there is damage. `thence verify` reads every line.
    """
    out = current()
    try:
        folder, is_log = find_log(out, log_name, may_be_empty=True), True
    except NotALog:
        if named_log(out, log_name) is not None:
            raise
        folder, is_log = Path(), False
    checks = [_install(), checked("disk", lambda: disk_check(OS_DISK, folder))]
    if is_log:
        try:
            from thence.log.doctor import log_checks
        except ImportError as error:  # the check of the install reports it too
            checks.append(Check("log", False, f"not checked: {error}", _REINSTALL))
        else:
            log, events, writers = log_checks(OS_DISK, folder)
            lines = joined("events", [events, *_losses(folder)])
            checks += [log, lines, writers]
            if is_log_of_agents(folder):
                checks.append(joined("hooks", _hooks(folder)))
    failed = sum(not check.ok for check in checks)
    if out.is_json:
        names = ("name", "ok", "detail", "hint")
        entries = [{name: getattr(check, name) for name in names} for check in checks]
        # not by msgspec, as that may be broken
        text = json.dumps(
            {"ok": not failed, "checks": entries}, ensure_ascii=False, separators=(",", ":")
        )
        out.line(text.encode("utf-8", "backslashreplace"))
    else:
        for check in checks:
            mark, colour = ("ok    ", "green") if check.ok else ("not ok", "red")
            if check.ok and check.hint:
                mark, colour = "warn  ", "yellow"
            margin = f"{mark}  {check.name:{_NAME_COLUMNS}}  "
            first, *rest = wrapped(check.detail, out.width, margin)
            out.write((Painted(mark, fg=colour), first[len(mark) :]), *rest)
            if check.hint:
                out.write(*wrapped(f"next: {check.hint}", out.width, " " * len(margin)))
        result = f"not ok: {failed} of" if failed else "ok:"
        where = f"the log {folder}; `thence verify` reads every line" if is_log else "this folder"
        out.write(f"{result} {len(checks)} checks, on {where}")
    if any(check.is_damage for check in checks):
        return DAMAGED
    return FAILED if failed else 0


def _install() -> Check:
    """Checks that the packages of the base install can be imported."""
    versions = [f"Python {platform.python_version()} on {platform.platform()}"]
    versions.append(f"thence {__version__}")
    broken = []
    for name in PACKAGES:
        try:
            import_module(name)
            versions.append(f"{name} {metadata.version(name)}")
        except ImportError as error:
            broken.append(f"{name} ({error})")
    if broken:
        detail = f"can't be imported: {', '.join(broken)}"
        return Check("install", False, detail, _REINSTALL)
    return Check("install", True, ", ".join(versions))


def _hooks(folder: Path) -> list[Check]:
    """Checks the spool of hooks, masking, and when the hooks of each tool last fired."""
    from thence.core.sentences.events import counted
    from thence.trace.agents.installed import log_here, tool_states
    from thence.trace.agents.intake import is_masked, last_error, last_fired, waiting

    waiting_count, refused_count = waiting(folder)
    last = last_error(folder)
    detail = f"{counted(waiting_count, 'file')} to import, {refused_count:,} refused"
    detail += f"; the last error: {last}" if last else ""
    spool = quote(str(folder / "spool"))
    hint = f"look at them with `ls -R {spool}`; "
    hint += f"`rm -r {spool}/refused {spool}/errors.log` ends this"
    is_ok = not last and not refused_count
    checks = [Check("hooks", is_ok, detail, "" if is_ok else hint)]
    with suppress(ThenceError):  # a log that can't be read is told by the other checks
        if log_here().absolute() == folder.absolute():
            states = tool_states(last_fired(folder))[1]
            checks += [Check("hooks", True, state.words, state.hint) for state in states]
    masking = "masking is on: secrets are masked before an event is stored"
    if not is_masked(folder):
        file = folder / ".thence" / "settings.toml"
        masking = f"masking is off: agents' secrets are stored; {file} has no [redact]"
    return [*checks, Check("hooks", True, masking)]


def _losses(folder: Path) -> list[Check]:
    """Checks whether a program's events, spans or records were not taken into its log."""
    from thence.core.sentences.events import counted
    from thence.log.log_reader import Reader
    from thence.log.read.opening import opened_vocabulary

    lost, last = 0, ""
    with suppress(ThenceError):  # a log that can't be read is told by the other checks
        reader = Reader(OS_DISK, folder, opened_vocabulary(OS_DISK, folder, None, False))
        if reader.lacks_index():
            return []
        for page in reader.pages(type=_LOSSES, descending=True):
            for event in page:
                count = event.payload.get("count")
                lost += count if isinstance(count, int) else 1
                why = event.payload.get("reason", "a full queue")
                last = last or f"at {event.timestamp[:19]}Z: {why}"
    if not lost:
        return []
    detail = f"{counted(lost, 'event')} of a program not recorded, the last {last}"
    hint = "`thence log --failed` lists when; see that the disk has room, or pass a larger "
    return [Check("events", True, detail, f"{hint}max_queue_size")]
