"""A search for an event, from the end of a log backwards, with a sync of the event found."""

from pathlib import Path

from thence.core.event import Event
from thence.core.query.lookup import not_found
from thence.core.values.codec import BadLine, event_id_of, parse
from thence.core.values.vocabulary import Vocabulary
from thence.errors import OutcomeUnknown
from thence.log.storage.disk import Disk
from thence.log.storage.disk_errors import DiskError, reading
from thence.log.storage.segment import current_path, older_names
from thence.log.storage.tail_recovery import lines_backwards


def durable_event(disk: Disk, folder: Path, vocabulary: Vocabulary, event_id: str) -> Event:
    """Returns the event of the newest line with an id once the line is on the device.

    The writer of the line may not have synced it yet. Older segments were synced before they
    got their names. Raises EventNotFound, ReadFailed, and OutcomeUnknown when the sync fails.
    """
    paths = [current_path(folder)]
    while paths:
        path = paths.pop()
        with reading(folder):
            descriptor = disk.open_existing(path)
        try:
            if path.name == current_path(folder).name:
                # listed after the current one is open, so that a rotation in between hides nothing
                paths = [folder / name for name in older_names(disk, folder)]
            if descriptor is None:
                continue
            found = _newest(disk, descriptor, vocabulary, event_id)
            if found is not None:
                disk.sync_data(descriptor)
                return found
        except DiskError as error:
            raise OutcomeUnknown(
                "could not make sure of the event",
                place=event_id,
                cause=error.strerror or error,
                hint="check the device; the event may be lost with the next power cut",
            ) from error
        finally:
            if descriptor is not None:
                disk.close_quietly(descriptor)
    raise not_found(folder, event_id)


def _newest(disk: Disk, descriptor: int, vocabulary: Vocabulary, event_id: str) -> Event | None:
    wanted = event_id.encode("utf-8", "replace")
    lines = lines_backwards(disk, descriptor, 0, disk.file_id(descriptor)[1])
    next(lines)  # the bytes behind the last newline are no event yet
    for line in lines:
        if event_id_of(line) == wanted:
            event = parse(line, vocabulary)
            if not isinstance(event, BadLine):
                return event
    return None
