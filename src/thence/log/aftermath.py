"""The beginning of an opening that appends: who writes, and what others' ends have left.

A log that was closed costs a look at the state page; only after another end is more read.
"""

from pathlib import Path
from typing import Any

from thence.core.vocabulary import Vocabulary
from thence.log.disk import Disk
from thence.log.identity import Own, identify
from thence.log.state import Slot, StatePage
from thence.log.system_call import DiskError


class Aftermath:
    """What one opening has to tell, until it is told; used under the append lock."""

    def __init__(self, disk: Disk, folder: Path, vocabulary: Vocabulary, page: StatePage) -> None:
        self.is_settled = False
        self.has_notices = False
        self._disk = disk
        self._folder = folder
        self._vocabulary = vocabulary
        self._page = page
        self._own: Own | None = None
        self._dead: list[Slot] | None = None

    def begin(self) -> tuple[str, str]:
        """Finds out who writes; returns its node_id and that of its forerunner, if it has one."""
        self._own = identify(self._disk, self._folder)
        return self._own.identity.node_id, self._own.forerunner

    def notices(self, seq: int) -> list[tuple[str, dict[str, Any]]]:
        """Returns the notices to write, as kind and facts.

        `seq` is the highest number given under the own node so far. What a disk refuses to
        show is told by a later opening.
        """
        own, page = self._own, self._page
        assert own is not None
        found: list[tuple[str, dict[str, Any]]] = []
        if own.identity.reason and not seq:
            found.append(("node_changed", own.change()))
        page.begin()
        self._dead = page.dead() if page.is_mapped else None
        if self._dead is not None and self._is_unclean(own):
            from thence.log.unclean import findings  # seldom needed

            where = (self._disk, self._folder, page)
            try:
                found += findings(*where, own, self._vocabulary, seq, self._dead)
            except DiskError:
                self._dead = None
        self.has_notices = bool(found)
        return found

    def settle(self) -> None:
        """Frees the slots of the dead: what they had to tell is durable."""
        if self._dead is not None:
            self._page.settle(self._dead)
            self.is_settled = True

    def _is_unclean(self, own: Own) -> bool:
        if own.is_copy:  # the slots are the original's, and so is what they lost
            return False
        if self._dead:
            return True
        if self._page.settled_mark:
            return self._page.settled_mark != self._page.mark
        # a page made anew: a log that nobody here wrote to has nothing to tell; of one that
        # somebody did, its very first line may be spoilt
        return own.is_known
