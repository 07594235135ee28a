"""The command `doctor`: checks this machine, this folder and the state of a log."""

import json
import platform
import sys
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
from thence.log.doctor.health import Check, clock, folder_checks
from thence.log.files.disk import OS_DISK, wall_ns

PYTHON_MIN = (3, 11)
PACKAGES = ("msgspec", "click", "rich", "structlog", "ruamel.yaml")
_REINSTALL = "install thence anew: `pip install --force-reinstall thence`"
# each check, with the parts of it that are looked at on their own
_PARTS = {
    "install": ("python", "platform", "packages"),
    "disk": ("filesystem", "space", "file_limit"),
    "writing": ("writable", "locks", "sync", "links"),
    "log": ("log", "segments", "identity"),
    "events": ("tail", "causes", "losses", "shared"),
    "writers": ("lock", "sessions", "quarantine"),
    "clock": ("clock",),
    "hooks": ("hooks", "firing", "masking"),
}
_LOSSES = ["log.events_dropped", "log.write_failed"]
_NAME_COLUMNS = max(map(len, _PARTS))


@click.command("doctor", **help_with("thence doctor --log output/my-run"))
@log_options
def doctor_command(log: str | None) -> int:
    """Check the machine, the folder, and the state of a log.

    Without a log it checks this folder. It writes and removes one small file to test the disk;
    read-only logs are checked too. Exit code 0: all is ok; 1: a check failed; 3: there is damage.
    `thence verify` reads every line.
    """
    out = current()
    try:
        folder, is_log = find_log(out, log, may_be_empty=True), True
    except NotALog:
        if named_log(out, log) is not None:
            raise
        folder, is_log = Path(), False
    parts = [*machine_checks(), *folder_checks(OS_DISK, folder)]
    parts += _log_checks(folder) if is_log else [clock(wall_ns(), "")]
    checks = merged(parts)
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


def merged(parts: list[Check]) -> list[Check]:
    """Returns the checks that consist of these parts; the detail of each begins with its faults."""
    checks = []
    for name, members in _PARTS.items():
        own = [part for member in members for part in parts if part.name == member]
        if own:
            own.sort(key=lambda part: part.ok)
            detail = "; ".join(part.detail for part in own)
            hint = "; ".join(dict.fromkeys(part.hint for part in own if part.hint))
            is_damage = any(part.is_damage for part in own)
            checks.append(Check(name, own[0].ok, detail, hint, is_damage))
    return checks


def machine_checks() -> list[Check]:
    """Checks Python, the platform, and that the packages of the base install can be imported."""
    minimum = ".".join(map(str, PYTHON_MIN))
    is_python = sys.version_info >= PYTHON_MIN
    is_system = sys.platform in ("linux", "darwin")
    versions, broken = [f"thence {__version__}"], []
    for name in PACKAGES:
        try:
            import_module(name)
            versions.append(f"{name} {metadata.version(name)}")
        except ImportError as error:
            broken.append(f"{name} ({error})")
    packages = Check("packages", True, ", ".join(versions))
    if broken:
        packages = Check("packages", False, f"can't be imported: {', '.join(broken)}", _REINSTALL)
    return [
        Check(
            "python",
            is_python,
            f"Python {platform.python_version()} in {sys.prefix}",
            "" if is_python else f"install Python {minimum} or later",
        ),
        Check(
            "platform",
            is_system,
            platform.platform(),
            "" if is_system else "use Linux or macOS: thence is tested on no other system",
        ),
        packages,
    ]


def _log_checks(folder: Path) -> list[Check]:
    """Checks a log, what its project's shared files hold, and what hooks of agents left."""
    try:
        from thence.log.doctor.condition import log_checks
    except ImportError as error:  # the packages check reports it too
        return [Check("log", False, f"not checked: {error}", _REINSTALL)]
    from thence.core.sentences.events import counted
    from thence.work.day_lines import skipped_lines

    checks = [*log_checks(OS_DISK, folder), *_losses(folder)]
    if skipped := skipped_lines(folder):
        first = skipped[0].place
        detail = f"passed over {counted(len(skipped), 'line')}, the first is "
        detail += f"{first.file}:{first.line}"
        hint = "`thence verify` lists each with its reason; "
        hint += f"`git checkout {first.file}` puts one back"
        checks.append(Check("shared", False, detail, hint))
    if not is_log_of_agents(folder):
        return checks
    from thence.trace.agents.hook_script import log_here
    from thence.trace.agents.hook_status import tool_states
    from thence.trace.agents.intake import is_masked, last_error, waiting

    waiting_count, refused_count = waiting(folder)
    last = last_error(folder)
    detail = f"{counted(waiting_count, 'file')} to take in, {refused_count:,} refused"
    detail += f"; the last error: {last}" if last else ""
    spool = quote(str(folder / "spool"))
    hint = f"look at them with `ls -R {spool}`; "
    hint += f"`rm -r {spool}/refused {spool}/errors.log` ends this"
    is_ok = not last and not refused_count
    checks.append(Check("hooks", is_ok, detail, "" if is_ok else hint))
    masking = "masking is on: secrets are masked before an event is stored"
    if not is_masked(folder):
        file = folder / ".thence" / "settings.toml"
        masking = f"masking is off: secrets of agents are stored; {file} has no [redact]"
    with suppress(ThenceError):  # a log that can't be read is told by the other checks
        if log_here().absolute() == folder.absolute():
            states = tool_states()[1]
            checks += [Check("firing", True, state.words, state.hint) for state in states]
    return [*checks, Check("masking", True, masking)]


def _losses(folder: Path) -> list[Check]:
    """Checks whether a program's events, spans or records were not taken into its log."""
    from thence.core.sentences.events import counted
    from thence.log.read.opening import opened_vocabulary
    from thence.log.reader import Reader

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
    detail = f"{counted(lost, 'event')} of a program not taken in, the last {last}"
    hint = "`thence log --failed` lists when; see that the disk has room, or pass a larger "
    return [Check("losses", True, detail, f"{hint}max_queue_size")]
