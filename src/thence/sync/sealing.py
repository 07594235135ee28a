"""The sealing of a log's own lines, and what seals prove of lines and redactions.

Seals are made before a push and before a redaction counts, for lines that no seal of the same key
covers yet. A line under an own node that came from elsewhere is not sealed.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

from thence.core.values.digests import digests
from thence.core.wire.seals import (
    SEALED_NUMBERS_MAX,
    LinePlace,
    NumberedDigests,
    Redaction,
    Seal,
    Signer,
    TeamKeys,
    sealed,
    sealed_lines,
)
from thence.log.storage.digest_files import read_disowned
from thence.log.storage.disk_errors import reading
from thence.log.storage.identity import known_node_ids
from thence.replica import OS_DISK, Disk, Log
from thence.signing import is_signed
from thence.sync.held_lines import HeldLines
from thence.sync.held_notices import HeldNotices, HeldRedaction, HeldSeal

_Numbered = tuple[int, bytes]


def own_nodes(folder: Path, disk: Disk = OS_DISK) -> list[str]:
    """Returns all nodes under which a log was written, sorted; raises ReadFailed."""
    with reading(folder):
        return sorted(known_node_ids(disk, folder))


def seal_own_lines(log: Log, held: HeldLines, signer: Signer, disk: Disk = OS_DISK) -> int:
    """Appends the seals that own lines lack, and returns how many; none for seals alone.

    Each is durable. Raises what an append raises.
    """
    notices = held.notices
    seals = notices.seals()
    count = 0
    with reading(log.folder):
        disowned = read_disowned(disk, log.folder)
    for node in own_nodes(log.folder, disk):
        own = [each for each in seals if each.seal.node_id == node]
        own.sort(key=lambda each: each.seal.last, reverse=True)
        last = next((each for each in own if _is_by(each, signer)), None)
        previous, first = (last.digest, last.seal.last + 1) if last else (b"", 1)
        known = disowned.get(node, frozenset())
        redactions = frozenset(each.digest for each in notices.redactions())
        seal_digests = {each.digest for each in seals}
        for group in _groups(notices, node, first, known, redactions):
            if all(digest in seal_digests for _, digest in group):
                continue
            made = log.redactions.record("seal", sealed(node, group, previous, signer).facts())
            previous = digests(made.line).line
            count += 1
    if count:
        held.update()
    return count


def _is_by(held: HeldSeal, signer: Signer) -> bool:
    return held.seal.public_key == signer.public_key and is_signed(held.seal)


def _groups(
    notices: HeldNotices,
    node: str,
    first: int,
    disowned: frozenset[bytes],
    redactions: frozenset[bytes],
) -> Iterator[list[_Numbered]]:
    """Yields the lines of a node from a number on, in groups that fit into a seal each.

    A redaction stands alone: no lines that others forge under numbers near it leave it unproven.
    """
    last = notices.last_number(node)
    for start in range(first, last + 1, SEALED_NUMBERS_MAX):
        numbers = notices.numbered(node, start, min(last, start + SEALED_NUMBERS_MAX - 1))
        group: list[_Numbered] = []
        for seq, held_digests in numbers.items():
            own = [digest for digest in held_digests if digest not in disowned]
            is_redaction = bool(own) and own[0] in redactions
            if is_redaction and group:
                yield group
                group = []
            group += [(seq, digest) for digest in own[:1]]
            if is_redaction:
                yield group
                group = []
        if group:
            yield group


def authored(held: HeldLines, keys: TeamKeys, lines: Iterable[LinePlace]) -> set[bytes]:
    """Returns D of those lines that a seal covers by the key that claimed their node."""
    seals = (each.seal for each in held.notices.seals())
    claimed = [seal for seal in seals if seal.public_key == keys.claims.get(seal.node_id)]
    return sealed_lines(lines, claimed, partial(_in_range, held.notices), is_signed)


def proven(held: HeldLines, keys: TeamKeys, waiting: Sequence[HeldRedaction]) -> list[Redaction]:
    """Returns those of the redactions that a seal proves, whose key may take the line back.

    A redaction of a line that the log does not hold is not proven yet; one of a seal, of another
    redaction or of a line without numbers never is.
    """
    notices = held.notices
    seals = [each.seal for each in notices.seals()] if waiting else []
    found = []
    for each in waiting:
        node = notices.node_of(each.redaction.digest)
        if node and not notices.holds(each.redaction.digest):
            able = [seal for seal in seals if keys.may_redact(seal.public_key, node)]
            place = LinePlace(each.node, each.seq, each.digest)
            if sealed_lines([place], able, partial(_in_range, notices), is_signed):
                found.append(each.redaction)
    return found


def _in_range(notices: HeldNotices, seal: Seal) -> NumberedDigests:
    return notices.numbered(seal.node_id, seal.first, seal.last)
