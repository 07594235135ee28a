-- Made behind a bulk build: rows that come in order are faster without.
CREATE UNIQUE INDEX event_ids ON events (event_id);
CREATE INDEX types ON events (type);
CREATE INDEX streams ON events (stream) WHERE stream IS NOT NULL;
CREATE INDEX subjects ON events (subject) WHERE subject IS NOT NULL;
CREATE INDEX actors ON events (actor) WHERE actor IS NOT NULL;
CREATE INDEX turns ON events (turn) WHERE turn IS NOT NULL;
CREATE INDEX times ON events (time);
CREATE INDEX waiters ON waiting (child);
CREATE INDEX effects ON causes (parent, child);
-- none where events arrive in total order: then the place determines the arrival (places.STRIDE)
CREATE INDEX strays ON events (arrival) WHERE place <> arrival * 1024;
-- none where clocks are true: then a cause stands before its effects
CREATE INDEX backward ON causes (child) WHERE parent >= child;
