-- Snapshots in which a VERIFY of this server has found damage that nothing has cleared since: one row an object. The empty
-- key stands for more than is kept. Of no job, so that it outlives the history of jobs; by the identity that the
-- repository carries itself, so that it is still known when it is dropped here and created again.
CREATE TABLE damaged_snapshots (
    repository TEXT NOT NULL,
    label TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    object_key TEXT NOT NULL,
    problem TEXT NOT NULL,
    depth INTEGER NOT NULL,                      -- how deep a VERIFY must look to see that it is whole again
    job_id INTEGER NOT NULL,
    found_at_ms INTEGER NOT NULL,
    PRIMARY KEY (repository, label, timestamp, object_key)
) STRICT, WITHOUT ROWID;
CREATE INDEX damaged_snapshots_by_object ON damaged_snapshots (repository, object_key);
