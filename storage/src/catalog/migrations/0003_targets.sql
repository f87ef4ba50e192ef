-- Tables of its database that a restore is going to create or replace, from its submission on. While the job runs, no
-- other statement may make, drop or rename a table of that name. What ended jobs wanted stays with them as history.
CREATE TABLE restore_targets (
    job_id INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    table_name TEXT NOT NULL,
    PRIMARY KEY (job_id, table_name)
) STRICT, WITHOUT ROWID;
