"""The checkpoints of a run: all that its next turn depends on, as files of JSON.

A checkpoint costs by the state, not by the history. It is written after the log holds the turn. One
that a kill or a disk spoilt is passed over, for the one before.
"""

import math
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from thence.core.ready import ready
from thence.files import replace_file
from thence.sim.record.ledger import Ids

FOLDER = "checkpoints"
_DIGEST_BYTES = 64


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a run after a turn.

    `event_id` is that of the turn's turn_end, which the log holds. `provenance` holds, by the index
    of a variable, a place in `causes`. `lineage` are the causes of the turn's events. `turn_causes`
    is what the next turn_start names beside turn_end. `components` are the states of those that
    have one, `binary` those that are bytes; `roster` is what changed of the agents. `decisions` and
    `decisions_failed` are counts.
    """

    turn: int
    event_id: str
    start_id: str
    values: tuple[Any, ...]
    causes: tuple[Ids, ...]
    provenance: tuple[int, ...]
    lineage: dict[str, Ids]
    memory: dict[str, Ids]
    turn_causes: Ids
    turn_has_causes: bool
    components: dict[str, Any]
    binary: dict[str, bytes] = {}
    roster: dict[str, Any]
    decisions: int
    decisions_failed: int


_decode = msgspec.json.Decoder().decode


def is_whole(value: object, kind: Any = Checkpoint) -> bool:
    """Reports whether JSON gives a value back as it was: no NaN, no tuple, no set in it."""
    if isinstance(value, Checkpoint):
        value = msgspec.structs.replace(value, binary={})
    try:
        return bool(msgspec.json.decode(msgspec.json.encode(value), type=ready(kind)) == value)
    except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
        return False


def with_causes(checkpoint: Checkpoint, written: Callable[[Ids], Ids]) -> Checkpoint:
    """Returns a checkpoint that names, for causes that have no line, what `written` returns."""
    return msgspec.structs.replace(
        checkpoint,
        causes=tuple(map(written, checkpoint.causes)),
        lineage={event_id: written(ids) for event_id, ids in checkpoint.lineage.items()},
        memory={agent: written(ids) for agent, ids in checkpoint.memory.items()},
        turn_causes=written(checkpoint.turn_causes),
    )


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Writes a checkpoint into the folder of its run and returns the file; raises ThenceError.

    The file is complete or absent: its last line is the SHA-256 of all before. Behind the line of
    JSON come the bytes of `binary`, where the JSON has their lengths.
    """
    content: dict[str, Any] = msgspec.structs.asdict(checkpoint)
    binary = {name: len(state) for name, state in checkpoint.binary.items()}
    data = msgspec.json.encode({**content, "binary": binary}) + b"\n"
    data += b"".join(checkpoint.binary.values())
    path = folder / FOLDER / f"turn-{checkpoint.turn:08}.json"
    replace_file(path, data + sha256(data).hexdigest().encode())
    return path


def read_checkpoints(folder: Path, before: float = math.inf) -> Iterator[Checkpoint]:
    """Yields the checkpoints of the run in a folder, the newest first, without unusable ones.

    Only those of turns before `before` are read.
    """
    for path in sorted((folder / FOLDER).glob("turn-*.json"), reverse=True):
        if int(path.stem.removeprefix("turn-")) >= before:
            continue
        try:
            data = path.read_bytes()
            content, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
            is_whole_file = sha256(content).hexdigest().encode() == digest
            line, _, rest = content.partition(b"\n")
            members = _decode(line) if is_whole_file else {"binary": {}}
            for name, size in members["binary"].items():
                members["binary"][name], rest = rest[:size], rest[size:]
            checkpoint = msgspec.convert(members, ready(Checkpoint)) if is_whole_file else None
        except (OSError, msgspec.MsgspecError):
            continue
        if checkpoint is not None:
            yield checkpoint
