-- What the server is known to hold of a log's lines, for one target. If it is deleted, all lines are
-- read anew, and what was parked is found again; only what the user let be sent is forgotten.

-- how far each segment has been read; the columns are those of the log's index
CREATE TABLE IF NOT EXISTS segments (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    size INTEGER NOT NULL,
    changed_ns INTEGER NOT NULL,
    read_bytes INTEGER NOT NULL,
    last_bytes BLOB NOT NULL,
    bad_lines INTEGER NOT NULL
);

-- each line once: those of a node lie together, as they are pushed and pulled
CREATE TABLE IF NOT EXISTS lines (
    node TEXT NOT NULL, -- '' of a line without numbers
    seq INTEGER NOT NULL, -- 0 of a line without numbers
    digest BLOB NOT NULL,
    segment INTEGER, -- NULL while the segments are read anew
    offset INTEGER,
    length INTEGER,
    kind TEXT, -- redaction: an own one, foreign: another log's; redacted: it has no body
    -- waiting; synced: the server holds it; parked: the server refuses it; left: another login is to
    -- push it
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '', -- of a parked line
    -- it matches a rule for secrets: parked it was never sent, waiting the user let it be sent
    is_secret INTEGER NOT NULL DEFAULT FALSE,
    PRIMARY KEY (node, seq, digest)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS unsynced ON lines (state, segment, offset) WHERE state <> 'synced';
CREATE INDEX IF NOT EXISTS unplaced ON lines (node, seq) WHERE segment IS NULL;
CREATE INDEX IF NOT EXISTS kinds ON lines (kind) WHERE kind IS NOT NULL;

-- parked lines of the server that the log can't take
CREATE TABLE IF NOT EXISTS pulled (
    digest BLOB PRIMARY KEY,
    event_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    line BLOB NOT NULL
) WITHOUT ROWID;

-- one row
CREATE TABLE IF NOT EXISTS state (
    target TEXT NOT NULL, -- of which the rest is known
    after TEXT NOT NULL, -- the cursor behind the last line that was pulled
    seen TEXT NOT NULL -- a cursor before which the server holds all that is synced
);
