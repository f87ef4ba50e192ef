-- How often anything that a reader of a table sees has changed: its definition, its partitions, what lies in them,
-- where the replicas are. A reader's cached state is current while this number stands still. Triggers keep it, so that
-- no path can forget; the AUTO_INCREMENT counter does not count.
ALTER TABLE tables ADD COLUMN changes INTEGER NOT NULL DEFAULT 0;

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
