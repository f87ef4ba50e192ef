-- Times are milliseconds since the Unix epoch. JSON columns hold the serde form of the type named beside them.
-- A row is live when dropped_at_ms and hidden_by are NULL: dropped rows wait to be recovered or purged, hidden rows
-- belong to a restore that has not committed.

CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('catalog_version', 1), ('next_id', 10001);

CREATE TABLE cluster (cluster_id TEXT NOT NULL, created_at_ms INTEGER NOT NULL) STRICT;

CREATE TABLE storage_roots (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    created_at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE databases (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    properties TEXT NOT NULL DEFAULT '{}',
    created_at_ms INTEGER NOT NULL,
    hidden_by INTEGER,
    dropped_at_ms INTEGER
) STRICT;
CREATE UNIQUE INDEX databases_by_name ON databases (name) WHERE dropped_at_ms IS NULL AND hidden_by IS NULL;

CREATE TABLE tables (
    id INTEGER PRIMARY KEY,
    database_id INTEGER NOT NULL REFERENCES databases ON DELETE CASCADE,
    name TEXT NOT NULL,
    definition TEXT NOT NULL,                    -- schema::TableDefinition
    auto_increment_next INTEGER NOT NULL DEFAULT 1,
    created_at_ms INTEGER NOT NULL,
    hidden_by INTEGER,
    dropped_at_ms INTEGER,
    -- How often anything that a reader of the table sees has changed: its definition, its partitions, what lies in
    -- them, where the replicas are. A reader's cached state is current while this number stands still. The triggers at
    -- the end keep it, so that no path can forget; the AUTO_INCREMENT counter does not count.
    changes INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX tables_by_name ON tables (database_id, name) WHERE dropped_at_ms IS NULL AND hidden_by IS NULL;
CREATE INDEX tables_by_database ON tables (database_id);

-- Materialized indexes: the base index of every table, and rollups.
CREATE TABLE indexes (
    id INTEGER PRIMARY KEY,
    table_id INTEGER NOT NULL REFERENCES tables ON DELETE CASCADE,
    name TEXT NOT NULL,
    base INTEGER NOT NULL,
    definition TEXT NOT NULL DEFAULT '{}'
) STRICT;
CREATE INDEX indexes_by_table ON indexes (table_id);

CREATE TABLE partitions (
    id INTEGER PRIMARY KEY,
    table_id INTEGER NOT NULL REFERENCES tables ON DELETE CASCADE,
    name TEXT NOT NULL COLLATE NOCASE,
    bounds TEXT NOT NULL,                        -- schema::PartitionBounds
    buckets INTEGER NOT NULL,
    replication_num INTEGER NOT NULL,
    properties TEXT NOT NULL DEFAULT '{}',
    visible_version INTEGER NOT NULL,
    visible_version_at_ms INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    hidden_by INTEGER,
    dropped_at_ms INTEGER,
    -- Whether RECOVER may bring it back under its name: false for what an overwrite or a restore replaced.
    recoverable INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE UNIQUE INDEX partitions_by_name ON partitions (table_id, name) WHERE dropped_at_ms IS NULL AND hidden_by IS NULL;
CREATE INDEX partitions_by_table ON partitions (table_id);

CREATE TABLE tablets (
    id INTEGER PRIMARY KEY,
    partition_id INTEGER NOT NULL REFERENCES partitions ON DELETE CASCADE,
    index_id INTEGER NOT NULL REFERENCES indexes ON DELETE CASCADE,
    bucket INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX tablets_by_bucket ON tablets (partition_id, index_id, bucket);

CREATE TABLE replicas (
    id INTEGER PRIMARY KEY,
    tablet_id INTEGER NOT NULL REFERENCES tablets ON DELETE CASCADE,
    root_id INTEGER NOT NULL REFERENCES storage_roots,
    healthy INTEGER NOT NULL DEFAULT 1
) STRICT;
CREATE UNIQUE INDEX replicas_by_tablet ON replicas (tablet_id, root_id);

CREATE TABLE rowsets (
    id INTEGER PRIMARY KEY,
    tablet_id INTEGER NOT NULL REFERENCES tablets ON DELETE CASCADE,
    version INTEGER NOT NULL,                    -- the partition version that published it
    created_at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX rowsets_by_tablet ON rowsets (tablet_id);

CREATE TABLE segments (
    rowset_id INTEGER NOT NULL REFERENCES rowsets ON DELETE CASCADE,
    ordinal INTEGER NOT NULL,
    digest BLOB NOT NULL,
    rows INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    zone_maps TEXT NOT NULL,                     -- Vec<catalog::ZoneMap>
    deletes_digest BLOB,                         -- the delete vector; NULL when no row is deleted
    deletes_bytes INTEGER,
    deletes_rows INTEGER,
    PRIMARY KEY (rowset_id, ordinal)
) STRICT, WITHOUT ROWID;
CREATE INDEX segments_by_digest ON segments (digest);
-- Segments with deleted rows, small enough to look through often: compaction asks which have lost many.
CREATE INDEX segments_with_deletes ON segments (rowset_id, ordinal, rows, deletes_rows) WHERE deletes_digest IS NOT NULL;

-- Files of a tablet that no row names any more. The collector deletes them when nobody reads them.
CREATE TABLE garbage (
    id INTEGER PRIMARY KEY,
    root_id INTEGER NOT NULL,
    tablet_id INTEGER NOT NULL,
    digest BLOB NOT NULL,
    kind TEXT NOT NULL,                          -- parquet or dv
    since_ms INTEGER NOT NULL
) STRICT;

-- Files a running job needs, whatever becomes of the rows that named them.
CREATE TABLE pins (
    job_id INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    tablet_id INTEGER NOT NULL,
    digest BLOB NOT NULL,
    kind TEXT NOT NULL,
    PRIMARY KEY (job_id, tablet_id, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX pins_by_file ON pins (tablet_id, digest);

CREATE TABLE loads (
    id INTEGER PRIMARY KEY,                      -- the transaction id
    database_id INTEGER NOT NULL REFERENCES databases ON DELETE CASCADE,
    table_name TEXT NOT NULL,
    label TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT NOT NULL,                         -- PREPARE, VISIBLE or ABORTED
    rows INTEGER NOT NULL DEFAULT 0,
    filtered_rows INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    created_at_ms INTEGER NOT NULL,
    finished_at_ms INTEGER
) STRICT;
CREATE UNIQUE INDEX loads_by_label ON loads (database_id, label) WHERE state <> 'ABORTED';
CREATE INDEX loads_by_age ON loads (finished_at_ms);

CREATE TABLE repositories (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    identity TEXT NOT NULL,                      -- repository_id of repository.json
    location TEXT NOT NULL,
    read_only INTEGER NOT NULL,
    broker TEXT NOT NULL DEFAULT '',
    properties TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    error TEXT
) STRICT;

CREATE TABLE jobs (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    database TEXT NOT NULL,
    label TEXT NOT NULL,
    repository_id INTEGER NOT NULL,
    state TEXT NOT NULL,
    payload TEXT NOT NULL,                       -- the job as its module stores it
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    timeout_ms INTEGER NOT NULL,
    created_at_ms INTEGER NOT NULL,
    finished_at_ms INTEGER
) STRICT;
-- One running job per database: a constraint, so that no path can forget it.
CREATE UNIQUE INDEX jobs_running ON jobs (database) WHERE state NOT IN ('FINISHED', 'CANCELLED');
CREATE INDEX jobs_by_database ON jobs (database, id);

CREATE TABLE users (
    name TEXT NOT NULL,
    host TEXT NOT NULL,
    password_hash BLOB,                          -- SHA1(SHA1(password)); NULL is the empty password
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (name, host)
) STRICT, WITHOUT ROWID;

CREATE TABLE roles (
    name TEXT PRIMARY KEY,
    builtin INTEGER NOT NULL,
    comment TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

-- A grantee is 'USER' with 'name@host' or 'ROLE' with a role's name.
CREATE TABLE role_grants (
    grantee_kind TEXT NOT NULL,
    grantee TEXT NOT NULL,
    role TEXT NOT NULL REFERENCES roles ON DELETE CASCADE,
    is_default INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (grantee_kind, grantee, role)
) STRICT, WITHOUT ROWID;

CREATE TABLE privileges (
    grantee_kind TEXT NOT NULL,
    grantee TEXT NOT NULL,
    privilege TEXT NOT NULL,
    object_kind TEXT NOT NULL,                   -- SYSTEM, CATALOG, DATABASE, TABLE, USER …
    object_database TEXT NOT NULL DEFAULT '*',
    object_name TEXT NOT NULL DEFAULT '*',
    with_grant INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (grantee_kind, grantee, privilege, object_kind, object_database, object_name)
) STRICT, WITHOUT ROWID;

CREATE TABLE variables (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Whatever a reader of a table sees counts in tables.changes.
CREATE TRIGGER tables_changed AFTER UPDATE OF database_id, name, definition, hidden_by, dropped_at_ms ON tables
BEGIN
    UPDATE tables SET changes = changes + 1 WHERE id = NEW.id;
END;

CREATE TRIGGER indexes_added AFTER INSERT ON indexes
BEGIN
    UPDATE tables SET changes = changes + 1 WHERE id = NEW.table_id;
END;
CREATE TRIGGER indexes_changed AFTER UPDATE ON indexes
BEGIN
    UPDATE tables SET changes = changes + 1 WHERE id = NEW.table_id;
END;
CREATE TRIGGER indexes_removed AFTER DELETE ON indexes
BEGIN
    UPDATE tables SET changes = changes + 1 WHERE id = OLD.table_id;
END;

CREATE TRIGGER partitions_added AFTER INSERT ON partitions
BEGIN
    UPDATE tables SET changes = changes + 1 WHERE id = NEW.table_id;
END;
-- A restore moves a partition from its hidden table to the one it belongs to.
CREATE TRIGGER partitions_changed AFTER UPDATE ON partitions
BEGIN
    UPDATE tables SET changes = changes + 1 WHERE id IN (OLD.table_id, NEW.table_id);
END;
CREATE TRIGGER partitions_removed AFTER DELETE ON partitions
BEGIN
    UPDATE tables SET changes = changes + 1 WHERE id = OLD.table_id;
END;

CREATE TRIGGER replicas_added AFTER INSERT ON replicas
BEGIN
    UPDATE tables SET changes = changes + 1 WHERE id = (
        SELECT partitions.table_id FROM tablets JOIN partitions ON partitions.id = tablets.partition_id
        WHERE tablets.id = NEW.tablet_id);
END;
CREATE TRIGGER replicas_changed AFTER UPDATE ON replicas
BEGIN
    UPDATE tables SET changes = changes + 1 WHERE id = (
        SELECT partitions.table_id FROM tablets JOIN partitions ON partitions.id = tablets.partition_id
        WHERE tablets.id = NEW.tablet_id);
END;
CREATE TRIGGER replicas_removed AFTER DELETE ON replicas
BEGIN
    UPDATE tables SET changes = changes + 1 WHERE id = (
        SELECT partitions.table_id FROM tablets JOIN partitions ON partitions.id = tablets.partition_id
        WHERE tablets.id = OLD.tablet_id);
END;

-- A segment comes only with its rowset.
CREATE TRIGGER rowsets_added AFTER INSERT ON rowsets
BEGIN
    UPDATE tables SET changes = changes + 1 WHERE id = (
        SELECT partitions.table_id FROM tablets JOIN partitions ON partitions.id = tablets.partition_id
        WHERE tablets.id = NEW.tablet_id);
END;
CREATE TRIGGER rowsets_removed AFTER DELETE ON rowsets
BEGIN
    UPDATE tables SET changes = changes + 1 WHERE id = (
        SELECT partitions.table_id FROM tablets JOIN partitions ON partitions.id = tablets.partition_id
        WHERE tablets.id = OLD.tablet_id);
END;
CREATE TRIGGER segments_changed AFTER UPDATE ON segments
BEGIN
    UPDATE tables SET changes = changes + 1 WHERE id = (
        SELECT partitions.table_id FROM rowsets
        JOIN tablets ON tablets.id = rowsets.tablet_id
        JOIN partitions ON partitions.id = tablets.partition_id
        WHERE rowsets.id = NEW.rowset_id);
END;
CREATE TRIGGER segments_removed AFTER DELETE ON segments
BEGIN
    UPDATE tables SET changes = changes + 1 WHERE id = (
        SELECT partitions.table_id FROM rowsets
        JOIN tablets ON tablets.id = rowsets.tablet_id
        JOIN partitions ON partitions.id = tablets.partition_id
        WHERE rowsets.id = OLD.rowset_id);
END;
