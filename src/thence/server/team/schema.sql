-- The database of a team's server, in the words of SQLite: PostgreSQL has its own for types and for
-- numbers that are given by themselves. Where a table names the team, its keys begin with the team.

-- epoch: random, made with the database; a cursor names it. schema: SHA-256 of this file, in hex.
-- compacted: the sum of the revisions of all logs when the file was last written anew
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

CREATE TABLE teams (id INTEGER PRIMARY KEY, slug TEXT NOT NULL UNIQUE);

-- password: a hash by argon2, with its salt and its costs
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, password TEXT NOT NULL);

-- joined: the order of joining; the first team of a user is the one without X-Team-Slug
CREATE TABLE members (
    team INTEGER NOT NULL REFERENCES teams (id),
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    joined INTEGER NOT NULL,
    role TEXT NOT NULL CHECK (role IN ('reader', 'writer', 'admin')),
    PRIMARY KEY (team, user_id)
) WITHOUT ROWID;
CREATE INDEX members_of_user ON members (user_id);

-- generation: how many pairs of tokens were made; used: the highest of which one was shown
CREATE TABLE logins (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    used INTEGER NOT NULL
);
CREATE INDEX logins_of_user ON logins (user_id);

-- hash: SHA-256 of the token; expires: seconds since 1970;
-- is_refresh: 0 for an access token, 1 for a refresh token, 2 for one of a live connection
CREATE TABLE tokens (
    hash BLOB PRIMARY KEY,
    login INTEGER NOT NULL REFERENCES logins (id) ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    is_refresh INTEGER NOT NULL,
    expires REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX tokens_of_login ON tokens (login);

-- the login that named a node its own first: the name of a user, which stays when the user leaves
CREATE TABLE claims (
    team INTEGER NOT NULL REFERENCES teams (id),
    node TEXT NOT NULL,
    owner TEXT NOT NULL,
    PRIMARY KEY (team, node)
) WITHOUT ROWID;

-- id: within the team; last: the number of the last event, which is how many there are;
-- title: what pages call it; revision: how often stored lines were replaced by other forms of themselves
CREATE TABLE logs (
    team INTEGER NOT NULL REFERENCES teams (id),
    id INTEGER NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    last INTEGER NOT NULL DEFAULT 0,
    revision INTEGER NOT NULL DEFAULT 0,
    title TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (team, id),
    UNIQUE (team, name)
) WITHOUT ROWID;

-- number: from 1, without gaps, in the order of commits; digest: D, which covers event_id.
-- chain: the first 8 bytes of SHA-256 of the chain of the line before, none for the first, and digest.
-- pushed_by: the login that pushed it first, the name of a user.
-- A line without numbers has node '', seq 0, and the digest of its members.
CREATE TABLE events (
    team INTEGER NOT NULL,
    log INTEGER NOT NULL,
    number INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    node TEXT NOT NULL,
    seq INTEGER NOT NULL,
    digest BLOB NOT NULL,
    chain BLOB NOT NULL,
    pushed_by TEXT NOT NULL,
    line BLOB NOT NULL,
    PRIMARY KEY (team, log, number),
    UNIQUE (team, log, digest)
);

-- redactions of lines that are not here yet: digest is D of the line, pushed_by the login
CREATE TABLE announced (
    team INTEGER NOT NULL,
    log INTEGER NOT NULL,
    digest BLOB NOT NULL,
    pushed_by TEXT NOT NULL,
    event_id TEXT NOT NULL,
    PRIMARY KEY (team, log, digest, pushed_by, event_id)
) WITHOUT ROWID;

-- lines that were redacted: their bodies are stored no more
CREATE TABLE redactions (
    team INTEGER NOT NULL,
    log INTEGER NOT NULL,
    digest BLOB NOT NULL,
    event_id TEXT NOT NULL,
    PRIMARY KEY (team, log, digest)
) WITHOUT ROWID;

-- pieces of large values, each log's own, each behind the one before it, none for the first; sha256: of the value up to
-- the end of the piece, which has size bytes then
CREATE TABLE body_pieces (
    team INTEGER NOT NULL,
    log INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    previous BLOB NOT NULL,
    size INTEGER NOT NULL,
    data BLOB NOT NULL,
    PRIMARY KEY (team, log, sha256)
);

-- the large values that lines name; digest: D of the line
CREATE TABLE body_names (
    team INTEGER NOT NULL,
    log INTEGER NOT NULL,
    sha256 BLOB NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (team, log, sha256, digest)
) WITHOUT ROWID;
CREATE INDEX body_names_of_line ON body_names (team, log, digest);
