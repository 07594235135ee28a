"""What a log's events began and none ended, and which of it belongs to processes that are gone."""

from collections.abc import Mapping
from pathlib import Path

from thence.agents.fired import LOG
from thence.agents.sessions import has_ended
from thence.core.query.why import LogEnd
from thence.core.vocabulary import Vocabulary
from thence.doctor.writers import ended_writers, living_writers
from thence.log.files.disk import OS_DISK
from thence.open_log.queries import Answers
from thence.otlp.decoding import SOURCE


def read_end(
    answers: Answers, folder: Path, vocabulary: Vocabulary, open_max: int | None = None
) -> tuple[LogEnd, Mapping[str, str]]:
    """Returns the end of a log, and which of its open steps belong to ended processes.

    What an agent's hook recorded belongs to the process of the agent, not to the one that wrote it.
    With `open_max` only so many open steps are read, those that came last. Raises `read_failed`.
    """
    before = living_writers(OS_DISK, folder)
    end = answers.end(open_max)
    after = living_writers(OS_DISK, folder) if end.still_open else None
    if before is None or after is None:
        return end, {}
    ended = ended_writers(OS_DISK, folder, vocabulary, end, before | after)
    is_of_agents = folder.absolute().parts[-2:] == tuple(LOG.split("/"))
    for event in end.still_open:
        is_elsewhere = event.header.source == SOURCE  # of the importer nothing follows
        if is_elsewhere or (is_of_agents and not has_ended(event)):
            ended.pop(event.event_id, None)
    return end, ended
