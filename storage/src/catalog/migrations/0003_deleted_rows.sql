-- Segments with deleted rows, small enough to look through often: compaction asks which have lost many.
CREATE INDEX segments_with_deletes ON segments (rowset_id, ordinal, rows, deletes_rows) WHERE deletes_digest IS NOT NULL;
