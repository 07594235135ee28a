"""The command `doctor`: checks this machine, this folder and the state of a log."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from thence.cli.frame import help_with, log_options
from thence.cli.output import Output, Painted, current

if TYPE_CHECKING:
    from thence.doctor.health import Check

PYTHON_MIN = (3, 11)
PACKAGES = ("msgspec", "click", "rich", "structlog", "ruamel.yaml")
_REINSTALL = "install thence anew: pip install --force-reinstall thence"
_NAME_COLUMNS = 10


@click.command("doctor", **help_with("thence doctor --log output/my-run"))
@log_options
def doctor_command(log: str | None) -> int:
    """Check the machine, the folder, and the state of a log.

    Without a log it looks at this folder. One small file is written to try the disk, and
    removed; a log that can only be read is looked at all the same. Exit code 0: all is ok;
    1: a check fails; 3: there is damage. `thence verify` reads every line.
    """
    from thence.cli import DAMAGED, FAILED

    out = current()
    folder, is_log = _folder_to_check(out, log)
    checks = [*machine_checks(), *_folder_checks(folder, is_log)]
    is_ok = all(check.ok for check in checks)
    if out.is_json:
        entries = [
            {"name": check.name, "ok": check.ok, "detail": check.detail, "hint": check.hint}
            for check in checks
        ]
        # not by msgspec, as that may be broken
        text = json.dumps(
            {"ok": is_ok, "checks": entries}, ensure_ascii=False, separators=(",", ":")
        )
        out.line(text.encode("utf-8", "backslashreplace"))
    else:
        _write_checks(out, checks, folder, is_log)
    if any(check.is_damage for check in checks):
        return DAMAGED
    return 0 if is_ok else FAILED


def machine_checks() -> "list[Check]":
    """Checks Python, the platform, and the packages of the base install."""
    import platform
    import sys

    from thence.doctor.health import Check

    minimum = ".".join(map(str, PYTHON_MIN))
    is_supported = sys.platform in ("linux", "darwin")
    return [
        Check(
            "python",
            sys.version_info >= PYTHON_MIN,
            f"{platform.python_version()} in {sys.prefix}",
            "" if sys.version_info >= PYTHON_MIN else f"thence needs Python {minimum} or later",
        ),
        Check(
            "platform",
            is_supported,
            platform.platform(),
            "" if is_supported else "thence is made and tested for Linux and macOS",
        ),
        _packages(),
    ]


def _packages() -> "Check":
    """Checks that the packages of the base install can be imported."""
    from importlib import import_module, metadata

    from thence import __version__
    from thence.doctor.health import Check

    versions, broken = [f"thence {__version__}"], []
    for name in PACKAGES:
        try:
            import_module(name)
            versions.append(f"{name} {metadata.version(name)}")
        except ImportError as error:
            broken.append(f"{name} ({error})")
    if not broken:
        return Check("packages", True, ", ".join(versions))
    return Check("packages", False, f"can't be imported: {', '.join(broken)}", _REINSTALL)


def _folder_checks(folder: Path, is_log: bool) -> "list[Check]":
    from thence.doctor.health import Check, clock, folder_checks
    from thence.log.files.disk import OS_DISK, wall_ns

    checks = folder_checks(OS_DISK, folder)
    if not is_log:
        return [*checks, clock(wall_ns(), "")]
    try:
        from thence.doctor.condition import log_checks
    except ImportError as error:  # the packages check reports it too
        return [*checks, Check("log", False, f"it was not looked at: {error}", _REINSTALL)]
    return [*checks, *log_checks(OS_DISK, folder), *_shared(folder), *_hooks(folder)]


def _shared(folder: Path) -> "list[Check]":
    """Checks for lines of a project's shared files that its journal passed over."""
    from thence.doctor.health import Check
    from thence.work.day_lines import skipped_lines

    skipped = skipped_lines(folder)
    if not skipped:
        return []
    first = skipped[0].place
    detail = f"{len(skipped):,} line(s) were passed over, the first is {first.file}:{first.line}"
    hint = "`thence verify` lists each with its reason; correct the file, or take it from git"
    return [Check("shared", False, detail, hint)]


def _hooks(folder: Path) -> "list[Check]":
    """Checks for what hooks of coding agents left that was refused, or could not be taken in."""
    from thence.cli.shared.locate import is_log_of_agents
    from thence.doctor.health import Check

    if not is_log_of_agents(folder):
        return []
    from thence.agents.intake import is_masked, last_error, waiting
    from thence.cli.shared.render import counted

    masking = Check("masking", True, "on: secrets are masked before an event is stored", "")
    if not is_masked(folder):
        file = folder / ".thence" / "settings.toml"
        detail = f"off: what agents see and say is stored with its secrets; {file} has no [redact]"
        masking = Check("masking", True, detail, "")
    waiting_count, refused_count = waiting(folder)
    detail = f"{counted(waiting_count, 'file')} to take in, {refused_count:,} refused"
    error = last_error(folder)
    if not error and not refused_count:
        return [Check("hooks", True, detail, ""), masking]
    detail += f"; the last error: {error}" if error else ""
    hint = f"look into {folder / 'spool'}, then remove errors.log and refused there"
    return [Check("hooks", False, detail, hint), masking]


def _folder_to_check(out: Output, log: str | None) -> tuple[Path, bool]:
    """Returns the folder to check, and whether it holds a log."""
    from thence.cli.shared.locate import find_log, named_log
    from thence.errors import NotALog

    try:
        return find_log(out, log), True
    except NotALog:
        if named_log(out, log) is not None:
            raise
        return Path(), False


def _write_checks(out: Output, checks: "list[Check]", folder: Path, is_log: bool) -> None:
    from thence.cli.shared.render import counted, wrapped

    for check in checks:
        mark, colour = ("ok    ", "green") if check.ok else ("not ok", "red")
        margin = f"{mark}  {check.name:{_NAME_COLUMNS}}  "
        first, *rest = wrapped(check.detail, out.width, margin)
        out.write((Painted(mark, fg=colour), first[len(mark) :]), *rest)
        if check.hint:
            out.write(*wrapped(f"next: {check.hint}", out.width, " " * len(margin)))
    failed = sum(not check.ok for check in checks)
    result = counted(len(checks), "check")
    result = f"not ok: {failed} of {result}" if failed else f"ok: {result}"
    where = f"the log {folder}; `thence verify` reads every line" if is_log else "this folder"
    out.write(f"{result}, on {where}")
