"""The folder of a run: made for one run, never outside the output root."""

import json
import re
import secrets
import weakref
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from thence.errors import ScenarioError, ThenceError
from thence.files import FileBusy, file_lock, replace_file

_RUN_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_RUN_ID_CHARACTERS_MAX = 200
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_CHUNK_BYTES = 1 << 20


def make_run_folder(root: Path, name: str, run_id: str | None = None) -> Path:
    """Makes the folder of a new run under the root and returns it; its name is the run id.

    Raises ThenceError if a given run id is taken, ScenarioError if it can't be a folder's name.
    """
    if run_id is None:
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        suffix = "".join(secrets.choice(_ALPHABET) for _ in range(6))  # one of two billion
        run_id = f"{name}-{now}-{suffix}"
    if not _RUN_ID.fullmatch(run_id) or len(run_id) > _RUN_ID_CHARACTERS_MAX:
        cause, hint = "a run id has letters, digits, '_', '-' and '.' only", "choose another run id"
        raise ScenarioError(
            "could not make a run folder", place=repr(run_id), cause=cause, hint=hint
        )
    folder = root / run_id
    try:
        root.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        (folder / "checkpoints").mkdir()
    except OSError as error:
        what, code = "could not make a run folder", ""
        cause, hint = error.strerror or str(error), "choose an output root that can be written"
        if isinstance(error, FileExistsError) and folder.is_dir():
            cause, hint = "it is there already", "choose another run id, or leave it out"
            code = "run_id_taken"
        raise ThenceError(what, place=folder, cause=cause, hint=hint, code=code) from error
    return folder


class RunHold:
    """Keeps a run for one process, until `release()` or the process's end.

    Raises `run_goes_on` where another process, or another object of this one, has it after
    `wait_s`.
    """

    def __init__(self, folder: Path, wait_s: float = 0.0) -> None:
        (folder / "checkpoints").mkdir(exist_ok=True)  # a copy may lack the empty folder
        try:
            lock = file_lock(folder / "checkpoints" / ".lock", wait_s)
        except FileBusy as error:
            raise ThenceError(
                "could not continue",
                place=folder,
                cause="another process is playing the run",
                hint="wait for its end, or stop it",
                code="run_goes_on",
            ) from error
        self.release = weakref.finalize(self, lock.close)


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Replaces the config.json of a run, as `replace_file` does."""
    text = json.dumps(config, indent=2, ensure_ascii=False, default=repr)
    replace_file(folder / "config.json", text.encode() + b"\n")


def write_result(folder: Path, content: dict[str, Any]) -> None:
    """Replaces the result.json of a run, as `replace_file` does."""
    data = msgspec.json.encode(content)
    replace_file(folder / "result.json", msgspec.json.format(data, indent=2) + b"\n")


def count_events(folder: Path) -> int:
    """Returns the number of lines in the files of a run."""
    count = 0
    for path in folder.glob("events*.jsonl"):
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                count += chunk.count(b"\n")
    return count
