"""The command `export`: events as a table, CSV or Parquet."""

import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import click

from thence.cli.groups import HELP_NAMES, json_option, log_option, talks
from thence.cli.shared.filtering import Given, filtered, tell_unknown_key
from thence.cli.shared.pages import pages
from thence.cli.voice import current, plain

_EXAMPLE = """\b
Example:
  thence export --csv --type order.failed -o failed.csv"""


@click.command("export", context_settings=HELP_NAMES, epilog=_EXAMPLE)
@click.option("--csv", "is_csv", is_flag=True, help="Write comma-separated text in UTF-8.")
@click.option("--parquet", "is_parquet", is_flag=True, help="Write Apache Parquet.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The file to write or replace; it is whole or not there. Else stdout.",
)
@click.option(
    "--raw",
    "is_raw",
    is_flag=True,
    help="With --csv: leave text as it is that a spreadsheet takes for a formula.",
)
@filtered
@log_option
@json_option
@talks
def export_command(
    is_csv: bool,
    is_parquet: bool,
    output: Path | None,
    is_raw: bool,
    log: str | None,
    is_json: bool,
    **asked: Given,
) -> None:
    """Write events as a table, CSV or Parquet.

    A row is an event that fits every option that is given, as in `thence query`, in total
    order. What is appended meanwhile is left out. However many there are, few are held in
    memory at once. In CSV a text that a spreadsheet takes for a formula stands behind an
    apostrophe, unless --raw is given.
    """
    from thence.cli.shared.render import counted
    from thence.cli.shared.tables import writer_of
    from thence.replica import open_log

    if is_csv == is_parquet:
        raise click.UsageError("one of --csv and --parquet is needed, and no more than one")
    form = "csv" if is_csv else "parquet"
    if is_raw and is_parquet:
        raise click.UsageError("--raw goes with --csv: Parquet keeps text as it is")
    if output is None and is_json:
        raise click.UsageError("--json goes with --output: stdout holds the table")
    if output is None and form == "parquet" and sys.stdout.isatty():
        raise click.UsageError("a terminal shows no Parquet; name a file with --output")
    from thence.cli.shared.locate import find_log

    voice = current()
    rows = 0
    with (
        open_log(find_log(voice, log), create=False) as replica,
        _opened(output) as file,
        writer_of(form, file, _cell(output, is_raw)) as write,
    ):
        for page in pages(replica, asked):
            write(page.events)
            rows += len(page.events)
        if not rows:
            tell_unknown_key(voice, replica, asked)
    if is_json and output is not None:
        voice.json({"rows": rows, "file": str(output), "bytes": output.stat().st_size})
    else:
        voice.note(f"{counted(rows, 'row')}" + (f" in {output}" if output else ""))


def _cell(output: Path | None, is_raw: bool) -> Callable[[str], str]:
    """Returns how a text stands in CSV; one that a terminal shows holds nothing that it obeys."""
    from thence.cli.shared.tables import guarded

    is_shown = output is None and sys.stdout.isatty()
    return lambda text: (str if is_raw else guarded)(plain(text) if is_shown else text)


@contextmanager
def _opened(path: Path | None) -> Iterator[IO[bytes]]:
    """Gives stdout, or a file that takes its name when all of it is on the device."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.exists() and not path.is_file():  # a pipe or device keeps its name
        with path.open("wb") as file:
            yield file
        return
    path = path.resolve()
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    _remove_abandoned(path)
    try:
        with _begun(part) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(part):
            error.filename = str(path)  # the name that the user gave
        raise


def _begun(part: Path) -> IO[bytes]:
    """Makes a part of a file, locked as long as it is open: so others know that it is in use."""
    while True:
        file = part.open("xb")
        try:
            _lock(file, is_patient=True)
            if part.exists():
                return file
        except OSError:  # a filesystem without locks: there nobody removes it either
            return file
        file.close()  # another export took it for abandoned before it was locked


def _remove_abandoned(path: Path) -> None:
    """Removes the parts of a file whose exports were killed: nobody holds their locks."""
    name = re.compile(rf"\.{re.escape(path.name)}\.\d+\.part")
    try:
        found = [each for each in path.parent.iterdir() if name.fullmatch(each.name)]
    except OSError:
        return
    for part in found:
        try:
            with part.open("rb") as file:
                _lock(file, is_patient=False)
                part.unlink()
        except OSError:  # in use, gone by now, or another user's
            continue


def _lock(file: IO[bytes], *, is_patient: bool) -> None:
    from fcntl import LOCK_EX, LOCK_NB, flock

    flock(file.fileno(), LOCK_EX if is_patient else LOCK_EX | LOCK_NB)
