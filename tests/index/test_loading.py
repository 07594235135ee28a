"""An index made from nothing, of more events than are kept while it is made."""

from pathlib import Path

from tests.events import drafted, stamped
from tests.index.logs import add, index_of

from thence.index.tables.loading import RECENT_EVENTS
from thence.index.tables.places import STRIDE

EVENTS = 3 * RECENT_EVENTS
BACK = (1, RECENT_EVENTS - 1, 3 * RECENT_EVENTS // 2, 5 * RECENT_EVENTS // 2)


def test_causes_are_found_however_long_before_they_were_read(tmp_path: Path) -> None:
    ids = [f"{number:026}" for number in range(EVENTS)]
    named = [[ids[at - back] for back in BACK if back <= at] for at in range(EVENTS)]
    add(
        tmp_path,
        (
            stamped(drafted(event_id, "noted", {}, causes), at, at)
            for at, (event_id, causes) in enumerate(zip(ids, named, strict=True), 1)
        ),
    )
    with index_of(tmp_path) as index:
        index.refresh()
        found = index.answer(lambda db: db.execute("SELECT child, parent FROM causes").fetchall())
        waiting = index.answer(lambda db: db.execute("SELECT count(*) FROM waiting").fetchone())
    expected = {(at * STRIDE, (at - back) * STRIDE) for at in range(EVENTS + 1) for back in BACK}
    assert sorted(found) == sorted((child, parent) for child, parent in expected if parent > 0)
    assert waiting == (0,)
