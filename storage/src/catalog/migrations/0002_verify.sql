-- Jobs of a repository and not of a database have the empty text as their database. They take no database's slot; of
-- each kind one runs on a repository at a time.
DROP INDEX jobs_running;
CREATE UNIQUE INDEX jobs_running ON jobs (database) WHERE database <> '' AND state NOT IN ('FINISHED', 'CANCELLED');
CREATE UNIQUE INDEX jobs_running_on_repository ON jobs (repository_id, kind)
    WHERE database = '' AND state NOT IN ('FINISHED', 'CANCELLED');

-- What VERIFY found in a repository. Kept with the job; what is damaged and not mended yet is what backups of this
-- cluster do not take for present.
CREATE TABLE findings (
    job_id INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    object_key TEXT NOT NULL,
    problem TEXT NOT NULL,
    expected TEXT NOT NULL,
    found TEXT NOT NULL,
    snapshots INTEGER NOT NULL DEFAULT 0,        -- how many need it
    needed_by TEXT NOT NULL DEFAULT '',          -- some of them with their tables, for people
    held_by TEXT NOT NULL DEFAULT '',            -- a table here that holds the same bytes; empty when none does
    found_at_ms INTEGER NOT NULL,
    mended_at_ms INTEGER,
    PRIMARY KEY (job_id, object_key)
) STRICT, WITHOUT ROWID;
