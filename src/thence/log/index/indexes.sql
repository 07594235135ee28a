-- Made behind a build from nothing: rows that come in order are faster without.
-- The total order is lamport, stamp, node, event_id: few events share the first two.
CREATE INDEX ordered ON events (lamport, stamp);
CREATE INDEX types ON events (type, lamport, stamp);
CREATE INDEX streams ON events (stream, lamport, stamp) WHERE stream IS NOT NULL;
CREATE INDEX subjects ON events (subject, lamport, stamp) WHERE subject IS NOT NULL;
CREATE INDEX actors ON events (actor, lamport, stamp) WHERE actor IS NOT NULL;
CREATE INDEX failures ON events (lamport, stamp) WHERE failed = 1;
-- with all that a picture of lanes counts by: it reads no row
CREATE INDEX lanes ON events (lane, type, failed, turn, time);
CREATE INDEX strangers ON events (event_id) WHERE seq = 0;
CREATE INDEX waiters ON waiting (child);
CREATE INDEX effects ON causes (parent, child);
CREATE INDEX step_ends ON steps (end);
CREATE INDEX step_times ON steps (time);
-- none where a cause arrives before its effects
CREATE INDEX backward ON causes (child) WHERE parent >= child;
