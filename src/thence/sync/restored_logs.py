"""The finding of a log that was restored from an old copy, by lines that its own key has sealed.

Such a log gives numbers out again that it had given out before. Anybody can write a line under its
node; nobody else can seal one.
"""

from collections.abc import Sequence

from thence.core.wire.seals import LinePlace, NumberedDigests, Seal
from thence.log.storage.digest_files import read_disowned
from thence.log.storage.disk import wall_ns
from thence.log.storage.disk_errors import DiskError, append_error
from thence.log.storage.identity import known_node_id, known_node_ids, renew
from thence.replica import Disk, Log
from thence.signing import is_signed
from thence.sync.held_lines import HeldLines


def leave_reused_node(log: Log, held: HeldLines, public_key: str, disk: Disk) -> bool:
    """Gives a restored log another node, and reports whether it did.

    A log was restored if a seal by its own key covers a line that came from elsewhere under its
    node, and the log itself gave the number to another line, or never got so far. A line that
    damage took from it leaves a hole, and is no sign. Raises LogBusy, LogReadOnly, AppendFailed.
    """
    try:
        node = known_node_id(disk, log.folder)
        disowned = read_disowned(disk, log.folder).get(node, frozenset())
        if not disowned:
            return False
        last = held.notices.last_number(node, disowned)
        own_nodes = known_node_ids(disk, log.folder)
        # the log's own seals cover no lost line: with many of them a round would cost by its length
        for seal, _ in held.notices.seals_from_elsewhere(own_nodes, disowned):
            if seal.node_id == node and seal.public_key == public_key:
                numbers = held.notices.numbered(node, seal.first, seal.last)
                if _is_of_lost_lines(seal, numbers, disowned, last) and is_signed(seal):
                    return renew(disk, log.folder, node, wall_ns() / 1e9, is_forced=True)
    except DiskError as error:
        raise append_error(log.folder, error) from error
    return False


def _is_of_lost_lines(
    seal: Seal, numbers: NumberedDigests, disowned: frozenset[bytes], last: int
) -> bool:
    """Reports whether a seal covers lines from elsewhere whose numbers the log itself gave too."""
    elsewhere: dict[int, Sequence[bytes]] = {}
    again: list[int] = []
    for number, digests in numbers.items():
        found = [digest for digest in digests if digest in disowned]
        elsewhere[number] = found or digests
        if found and (number > last or len(found) < len(digests)):
            again.append(number)
    places = (
        LinePlace(seal.node_id, number, each) for number in again for each in elsewhere[number]
    )
    return bool(seal.covered(elsewhere, places))
