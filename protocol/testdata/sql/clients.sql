-- What clients send of their own accord, one statement a line. Shapes as observed on the wire; long lists are shortened.

-- JDBC (MySQL and MariaDB drivers)
/* mysql-connector-j-8.0.33 (Revision: 0000) */SELECT @@session.auto_increment_increment AS auto_increment_increment, @@character_set_client AS character_set_client, @@sql_mode AS sql_mode, @@system_time_zone AS system_time_zone, @@time_zone AS time_zone, @@transaction_isolation AS transaction_isolation, @@wait_timeout AS wait_timeout
SET character_set_results = NULL
SET autocommit=1
SHOW DATABASES
SELECT TABLE_SCHEMA AS TABLE_CAT, NULL AS TABLE_SCHEM, CASE WHEN TABLE_TYPE='BASE TABLE' THEN CASE WHEN TABLE_SCHEMA = 'mysql' OR TABLE_SCHEMA = 'performance_schema' THEN 'SYSTEM TABLE' ELSE 'TABLE' END WHEN TABLE_TYPE='TEMPORARY' THEN 'LOCAL_TEMPORARY' ELSE TABLE_TYPE END AS TABLE_TYPE FROM INFORMATION_SCHEMA.TABLES HAVING TABLE_TYPE IN ('TABLE',null) ORDER BY TABLE_TYPE, TABLE_SCHEMA
SELECT CASE WHEN UPPER(DATA_TYPE)='TINYINT' THEN CASE WHEN LOCATE('ZEROFILL', UPPER(COLUMN_TYPE)) = 0 AND LOCATE('(1)', COLUMN_TYPE) != 0 THEN -7 ELSE -6 END END AS DATA_TYPE FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = 'd' AND COLUMN_NAME LIKE '%' ORDER BY ORDINAL_POSITION
SELECT ROUTINE_SCHEMA PROCEDURE_CAT, CASE ROUTINE_TYPE WHEN 'FUNCTION' THEN 2 WHEN 'PROCEDURE' THEN 1 ELSE 0 END PROCEDURE_TYPE FROM INFORMATION_SCHEMA.ROUTINES WHERE ROUTINE_SCHEMA='d'
SELECT WORD FROM INFORMATION_SCHEMA.KEYWORDS WHERE RESERVED=1 ORDER BY WORD
SELECT @@session.transaction_isolation
SELECT @@max_allowed_packet,@@system_time_zone,@@time_zone,@@auto_increment_increment
set autocommit=1, sql_mode = concat(@@sql_mode,',STRICT_TRANS_TABLES')
SELECT TABLE_SCHEMA TABLE_CAT, IF(TABLE_TYPE='BASE TABLE' or TABLE_TYPE='SYSTEM VERSIONED', 'TABLE', TABLE_TYPE) as TABLE_TYPE FROM INFORMATION_SCHEMA.TABLES
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED
set session transaction read only
set session transaction read write
set @x=1
SET SQL_SELECT_LIMIT=3
SET SQL_SELECT_LIMIT=DEFAULT
SET net_write_timeout=600
select sleep(3)
KILL QUERY 1144
USE `probe_db`
REPLACE INTO dd VALUES (3,'x')
SHOW WARNINGS
commit
rollback

-- ODBC
SET SESSION SQL_AUTO_IS_NULL=0
SET session_track_schema= ON
SET session_track_system_variables='autocommit,transaction_isolation'
SELECT CASE DATA_TYPE WHEN 'bit' THEN @dt:= IF(NUMERIC_PRECISION=1,(-7), (-2)) WHEN 'tinyint' THEN @dt:=(-6) END AS DATA_TYPE, @dt FROM INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA=DATABASE() AND TABLE_NAME = BINARY 'dd'
SELECT 'VARCHAR' AS TYPE_NAME, '''' AS LITERAL_PREFIX, -9 AS DATA_TYPE, NULL AS INTERVAL_PRECISION UNION SELECT 'BIT', '', -7, NULL UNION SELECT 'DATETIME', '''', 93, NULL ORDER BY DATA_TYPE
select * from dd where id=?
replace into dd values(?,?)

-- Python (PyMySQL, mysql-connector, SQLAlchemy, StarRocks's dialect)
SET NAMES utf8mb4
SET AUTOCOMMIT = 0
SELECT VERSION()
SELECT CURRENT_VERSION()
SELECT DATABASE()
SELECT @@tx_isolation
SELECT @@sql_mode
SELECT @@lower_case_table_names
SHOW VARIABLES LIKE 'sql_mode'
SHOW VARIABLES LIKE 'lower_case_table_names'
ADMIN SHOW FRONTEND CONFIG LIKE 'run_mode'
SHOW schemas
SHOW FULL TABLES FROM `probe_db`
DESCRIBE `probe_db`.`dd`
SHOW CREATE TABLE `probe_db`.`dd`
SELECT * FROM information_schema.tables_config WHERE table_schema = 'probe_db' AND table_name = 'dd'
SET NAMES 'utf8mb4' COLLATE 'utf8mb4_0900_ai_ci'
SET @@session.autocommit = OFF
SET @@session.sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION'

-- BI charts by time grain
SELECT DATE(ts) AS __timestamp, cat AS cat, SUM(amount) AS s FROM d.t INNER JOIN (SELECT cat AS cat__, SUM(amount) AS mme_inner__ FROM d.t WHERE cat IN ('c0', 'c1') AND ts >= STR_TO_DATE('2024-01-01 00:00:00.000000', '%Y-%m-%d %T.%f') GROUP BY cat ORDER BY mme_inner__ DESC LIMIT 2) AS series_limit ON cat = cat__ GROUP BY cat, DATE(ts) ORDER BY s DESC LIMIT 10
SELECT DATE(DATE_SUB(ts, INTERVAL (DAYOFMONTH(ts) - 1) DAY)) AS __timestamp FROM d.t
SELECT MAKEDATE(YEAR(ts), 1) + INTERVAL (QUARTER(ts)) QUARTER - INTERVAL '1' QUARTER AS __timestamp FROM d.t
SELECT DATE_ADD(ts, INTERVAL ( HOUR(ts) * 60 + MINUTE(ts) ) MINUTE) AS __timestamp FROM d.t
CREATE TABLE t_superset (id INT NOT NULL, cat VARCHAR(20), amount DECIMAL(18,4), ts DATETIME, PRIMARY KEY (id))
INSERT INTO t_superset VALUES (1, 'c1', 1.25, '2024-02-15 10:00:00'),(2, 'c2', 2.25, '2024-02-15 10:00:00')
DROP TABLE IF EXISTS t_superset

-- dumpers
/*!40100 SET @@SQL_MODE='' */
/*!40103 SET TIME_ZONE='+00:00' */
set optimizer_switch='semijoin=off'
set optimizer_switch=default
SELECT DISTINCT TABLESPACE_NAME, FILE_NAME FROM INFORMATION_SCHEMA.FILES WHERE FILE_TYPE = 'DATAFILE' AND TABLESPACE_NAME IN (SELECT DISTINCT TABLESPACE_NAME FROM INFORMATION_SCHEMA.PARTITIONS WHERE TABLE_SCHEMA='d' AND TABLE_NAME IN ('dd')) ORDER BY TABLESPACE_NAME, LOGFILE_GROUP_NAME
LOCK TABLES `dd` READ /*!32311 LOCAL */
SET SQL_QUOTE_SHOW_CREATE=1
SET SESSION character_set_results = 'binary'
select column_name, extra, generation_expression, data_type from information_schema.columns where table_schema=database() and table_name='dd' order by ordinal_position
SELECT /*!40001 SQL_NO_CACHE */ `id`, `v` FROM `dd`
select @@collation_database
SHOW TRIGGERS LIKE 'dd'
UNLOCK TABLES /* trx-only */
START TRANSACTION /*!40100 WITH CONSISTENT SNAPSHOT */
SHOW CREATE DATABASE IF NOT EXISTS `probe_db`
SAVEPOINT sp
ROLLBACK TO SAVEPOINT sp
RELEASE SAVEPOINT sp
SHOW TABLES LIKE '%'
SET SESSION wait_timeout = 2147483
SHOW MASTER STATUS
SHOW ALL SLAVES STATUS
SHOW TABLE STATUS
select COLUMN_NAME from information_schema.COLUMNS where TABLE_SCHEMA='d' and TABLE_NAME='dd' and extra like '%GENERATED%'
select @@version_comment limit 1
