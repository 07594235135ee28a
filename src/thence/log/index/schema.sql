-- The index of one log. It holds no bodies: where events lie, and what they are asked for by.
-- All of it can be made again from the segments: an index whose schema differs from this file by a
-- byte, comments included, is rebuilt.

-- schema: the digest of this file and indexes.sql; log_id, vocabulary; inode: of the database's own
-- file, "" in memory; events: how many there are;
-- generation: another number when what an arrival holds may have changed
CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;

-- how far each segment has been read, and by what it is known again when it was renamed
CREATE TABLE segments (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    device INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    size INTEGER NOT NULL, -- what it had when it was read, with an unfinished line
    changed_ns INTEGER NOT NULL, -- when it was last written to by then
    read_bytes INTEGER NOT NULL,
    last_bytes BLOB NOT NULL, -- the last bytes that were read, which must still stand there
    bad_lines INTEGER NOT NULL
);

-- arrival is the order in the files, 1 to the number of events: a row never moves
CREATE TABLE events (
    arrival INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL,
    node TEXT NOT NULL,
    seq INTEGER NOT NULL, -- 0: another tool's line
    lamport INTEGER NOT NULL,
    stamp TEXT NOT NULL, -- the timestamp of a line without a clock (lamport 0), which orders it
    type TEXT NOT NULL,
    stream TEXT,
    subject TEXT,
    actor TEXT,
    lane INTEGER NOT NULL, -- the row of a picture in which the event lies
    turn INTEGER,
    time INTEGER, -- microseconds since 1970, UTC
    failed INTEGER NOT NULL, -- 1: it records a failure
    segment INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    length INTEGER NOT NULL
);
CREATE UNIQUE INDEX event_ids ON events (event_id);

-- the names of lanes, numbered as they came; those that no event has any more stay
CREATE TABLE lane_names (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);

-- what calls of models took, and which tools were called; null where an event does not name it
CREATE TABLE usage (
    arrival INTEGER PRIMARY KEY, model TEXT, tokens_in INTEGER, tokens_out INTEGER, cost REAL,
    tool TEXT
);

-- the numbers (seq) that lines of a node have: runs without holes, apart from each other
CREATE TABLE number_runs (
    node TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (node, first)
) WITHOUT ROWID;

-- recorded causes, by the arrivals of both
CREATE TABLE causes (
    child INTEGER NOT NULL, parent INTEGER NOT NULL, PRIMARY KEY (child, parent)
) WITHOUT ROWID;

-- the events that begin something, with those that end it; of two ends the first in total order;
-- time: that of the begin
CREATE TABLE steps (begin INTEGER PRIMARY KEY, end INTEGER, time INTEGER);

-- all events that end something, by the id of what they end, which may not be here (yet)
CREATE TABLE ends (
    begin_id TEXT NOT NULL, child INTEGER NOT NULL, PRIMARY KEY (begin_id, child)
) WITHOUT ROWID;

-- the begins of spans, which other processes name by these ids
CREATE TABLE spans (span_id TEXT PRIMARY KEY, arrival INTEGER NOT NULL) WITHOUT ROWID;

-- causes that are named and not here (yet); kind: cause, by event_id; span, by span_id
CREATE TABLE waiting (
    id TEXT NOT NULL, kind TEXT NOT NULL, child INTEGER NOT NULL, PRIMARY KEY (kind, id, child)
) WITHOUT ROWID;

-- how many events there are of each type, actor and node; actor '': none, or the empty one;
-- node '': another tool's lines
CREATE TABLE counts (
    type TEXT NOT NULL, actor TEXT NOT NULL, node TEXT NOT NULL, events INTEGER NOT NULL,
    PRIMARY KEY (type, actor, node)
) WITHOUT ROWID;

-- 512 arrivals each, from number * 512 + 1 on, by node: values that none of them passes, and how
-- many of them have one; all have a lamport
CREATE TABLE zones (
    number INTEGER NOT NULL, node TEXT NOT NULL,
    lamport_first INTEGER, lamport_last INTEGER, lamport_events INTEGER NOT NULL,
    seq_first INTEGER, seq_last INTEGER, seq_events INTEGER NOT NULL,
    time_first INTEGER, time_last INTEGER, time_events INTEGER NOT NULL,
    turn_first INTEGER, turn_last INTEGER, turn_events INTEGER NOT NULL,
    PRIMARY KEY (number, node)
) WITHOUT ROWID;

-- how many events of each type a zone has, and how many of them record a failure; rows come in
-- the order in which types arrive, by which these are numbered
CREATE TABLE zone_types (
    number INTEGER NOT NULL, type TEXT NOT NULL, events INTEGER NOT NULL,
    failures INTEGER NOT NULL, PRIMARY KEY (number, type)
);

-- the first bad lines of the log, reported where an event would be served
CREATE TABLE damage (
    segment INTEGER NOT NULL, offset INTEGER NOT NULL, length INTEGER NOT NULL,
    code TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (segment, offset)
) WITHOUT ROWID;
