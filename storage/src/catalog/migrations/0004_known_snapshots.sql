-- Snapshots that are known to be in a repository: this server has published them, or a listing has shown them. A
-- collection of garbage does not believe a listing that leaves one of them out. By the identity that the repository
-- carries itself, so that they are still known when it is dropped here and created again.
CREATE TABLE known_snapshots (
    repository TEXT NOT NULL,
    label TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    PRIMARY KEY (repository, label, timestamp)
) STRICT, WITHOUT ROWID;
