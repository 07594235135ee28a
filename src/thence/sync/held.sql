-- The digests of a log's lines, and what is known of the server. It can be deleted at any time:
-- the digests are made again from the segments, the rest is asked of the server again.

-- how far each segment has been read; the columns are those of the log's index
CREATE TABLE segments (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    size INTEGER NOT NULL,
    changed_ns INTEGER NOT NULL,
    beginning BLOB NOT NULL,
    read_bytes INTEGER NOT NULL,
    last_bytes BLOB NOT NULL,
    checksum INTEGER NOT NULL,
    bad_lines INTEGER NOT NULL
);

-- each line once, by its block; node '' is that of lines without numbers
CREATE TABLE lines (
    node TEXT NOT NULL,
    block INTEGER NOT NULL,
    digest BLOB NOT NULL,
    seq INTEGER NOT NULL, -- 0 of a line without numbers
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL,
    PRIMARY KEY (node, block, digest)
) WITHOUT ROWID;

-- count and sum of the digests of each block, and how many of them the server is known to hold
CREATE TABLE blocks (
    node TEXT NOT NULL,
    block INTEGER NOT NULL,
    count INTEGER NOT NULL,
    sum BLOB NOT NULL,
    delivered_count INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (node, block)
) WITHOUT ROWID;

-- redactions, with their lines; and redacted lines, without
CREATE TABLE notices (
    kind TEXT NOT NULL, -- redacted, redacted line
    node TEXT NOT NULL,
    digest BLOB NOT NULL,
    line BLOB NOT NULL,
    PRIMARY KEY (kind, digest)
) WITHOUT ROWID;

-- blocks that differ for good, with count and sum here and on the server: as long as both stay, the
-- server is not asked for its digests again
CREATE TABLE settled (
    node TEXT NOT NULL,
    block INTEGER NOT NULL,
    count INTEGER NOT NULL,
    sum BLOB NOT NULL,
    their_count INTEGER NOT NULL,
    their_sum BLOB NOT NULL,
    PRIMARY KEY (node, block)
) WITHOUT ROWID;

-- lines that the server or this log can't take, with the reason
CREATE TABLE parked (
    direction TEXT NOT NULL, -- push, pull
    node TEXT NOT NULL,
    block INTEGER NOT NULL,
    digest BLOB NOT NULL,
    event_id TEXT NOT NULL,
    reason TEXT NOT NULL,
    line BLOB NOT NULL, -- of pull alone
    is_secret INTEGER NOT NULL, -- of push: it matched a rule, and was never sent
    PRIMARY KEY (direction, digest)
) WITHOUT ROWID;

-- the id of each line; contested where lines differ under it, until the owner of its node pushed one
CREATE TABLE ids (
    event_id BLOB PRIMARY KEY, -- in UTF-8, halves of surrogate pairs too
    is_contested INTEGER NOT NULL DEFAULT FALSE
) WITHOUT ROWID;
CREATE INDEX contested ON ids (event_id) WHERE is_contested;

-- lines that match a rule for secrets, and are sent all the same: the user named them
CREATE TABLE confirmed (digest BLOB PRIMARY KEY) WITHOUT ROWID;

-- target: what the rest is known of; cursor: behind the last line that was taken;
-- claimed: the key and the nodes that were claimed by it; contested: the last id that was looked at,
-- where there are many
CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
