//! What an hour brings. Most of it depends on the hour of the day; how many rows come, and a few choices, on the seed.

use std::time::Instant;

use ebla_tests::client::Client;
use ebla_tests::http::Body;
use ebla_tests::wait::{JOB_PATIENCE, assert_finished, wait_backup, wait_restore, wait_until};
use rand::Rng;

use crate::run::Soak;

/// Rows that each hour brings to `events`, and to `orders`.
const EVENTS: u32 = 200;
const ORDERS: u32 = 60;

/// Rows of the smallest loads.
const INSERTED: u32 = 3;

/// How wrong clocks are, in seconds: hours, days, and minutes, ahead and behind.
const WRONG_BY: [i64; 6] = [5 * 3_600, -3 * 3_600, 3 * 86_400, -2 * 86_400, 600, -600];

impl Soak {
    /// The tables that live through the whole run.
    pub async fn create_tables(&self, client: &mut Client) {
        client.query("CREATE DATABASE shop").await;
        client
            .query(
                "CREATE TABLE shop.events (slot INT NOT NULL, h INT NOT NULL, n INT NOT NULL, note VARCHAR(60)) \
                 DUPLICATE KEY (slot, h) PARTITION BY RANGE (slot) (PARTITION p0 VALUES [(\"0\"), (\"1\"))) \
                 DISTRIBUTED BY HASH (n) BUCKETS 2",
            )
            .await;
        client
            .query(
                "CREATE TABLE shop.orders (h INT NOT NULL, n INT NOT NULL, note VARCHAR(60)) DUPLICATE KEY (h) \
                 DISTRIBUTED BY HASH (n) BUCKETS 2",
            )
            .await;
        client
            .query(
                "CREATE TABLE shop.totals (h INT NOT NULL, n BIGINT) DUPLICATE KEY (h) DISTRIBUTED BY HASH (h) BUCKETS 1",
            )
            .await;
    }

    /// `PROPERTIES` of every backup.
    pub fn ttl(&self) -> String {
        format!("PROPERTIES (\"ttl\" = \"{} HOUR\")", self.plan.ttl)
    }

    /// One hour's work.
    pub async fn work(&mut self, client: &mut Client, hour: u32) {
        let of_day = hour % 24;
        self.set_clock(hour);
        self.load(client, hour).await;
        self.turn_partitions(client, hour).await;
        if of_day % 4 == 1 {
            self.delete_old(client, hour).await;
        }
        if of_day % 6 == 2 {
            client.query("INSERT OVERWRITE shop.totals SELECT h, sum(n) FROM shop.orders GROUP BY h").await;
            self.known.tally.loads += 1;
        }
        if of_day == 8 {
            client.query("ALTER TABLE shop.orders COMPACT").await;
        }
        self.back_up(client, hour).await;
        if hour % 5 == 4 {
            self.drop_snapshot(client).await;
        }
        match of_day {
            3 => self.create_scratch(client).await,
            5 => self.statement(client, "DROP TABLE scratch.t").await,
            7 => {
                self.statement(client, "RECOVER TABLE scratch.t").await;
                self.known.tally.recovered += 1;
            }
            11 => self.drop_and_recover(client).await,
            15 | 22 => self.restore(client, hour).await,
            16 => self.statement(client, "TRUNCATE TABLE scratch.t").await,
            17 => {
                self.statement(client, "DROP DATABASE scratch").await;
                self.known.scratch = false;
            }
            20 => self.verify(client).await,
            _ => {}
        }
    }

    /// Makes the wall clock wrong for two hours around noon. Stores refuse what it signs, tell their time, and are believed.
    fn set_clock(&mut self, hour: u32) {
        let seconds = match hour % 24 {
            12 | 13 => WRONG_BY[(hour / 24) as usize % WRONG_BY.len()],
            _ => 0,
        };
        self.time.be_wrong_by(seconds);
        self.known.tally.wrong_clocks += u32::from(hour % 24 == 12);
    }

    async fn statement(&self, client: &mut Client, sql: &str) {
        // A day that has begun in the middle has no scratch database to drop from.
        if self.known.scratch {
            client.query(sql).await;
        }
    }

    async fn load(&mut self, client: &mut Client, hour: u32) {
        let slot = hour / self.plan.partition;
        let note: u64 = self.random.random();
        let events: String = (0..EVENTS).map(|n| format!("{slot},{hour},{n},note {note:x} {}\n", n * 7919)).collect();
        let headers = |label: String| [("label", label), ("column_separator", ",".to_string())];
        // The first hour of a partition comes before its rows.
        if hour.is_multiple_of(self.plan.partition) && slot > 0 {
            self.add_partition(client, slot).await;
        }
        if slot == 0 && self.known.events.is_empty() {
            self.known.events.push((0, 0));
        }
        for (table, body) in [("events", events), ("orders", lines(hour, ORDERS, note))] {
            let headers = headers(format!("{table}_{hour}"));
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            self.server.load("shop", table, &headers, Body::Bytes(body.into_bytes())).await;
        }
        let values: Vec<String> = (0..INSERTED).map(|n| format!("({hour}, {}, 'inserted')", ORDERS + n)).collect();
        client.query(&format!("INSERT INTO shop.orders WITH LABEL inserted_{hour} VALUES {}", values.join(", "))).await;
        self.known.tally.loads += 3;
        self.known.orders.push(hour);
        if let Some((_, hours)) = self.known.events.last_mut() {
            *hours += 1;
        }
    }

    async fn add_partition(&mut self, client: &mut Client, slot: u32) {
        let next = slot + 1;
        client
            .query(&format!("ALTER TABLE shop.events ADD PARTITION p{slot} VALUES [(\"{slot}\"), (\"{next}\"))"))
            .await;
        self.known.events.push((slot, 0));
    }

    /// Partitions whose rows are too old go, most of them so that they could come back.
    async fn turn_partitions(&mut self, client: &mut Client, hour: u32) {
        let slot = hour / self.plan.partition;
        let kept = self.plan.rows_live / self.plan.partition;
        while self.known.events.first().is_some_and(|(oldest, _)| oldest + kept < slot) {
            let (oldest, _) = self.known.events.remove(0);
            let force = if self.random.random_range(0..4) == 0 { " FORCE" } else { "" };
            client.query(&format!("ALTER TABLE shop.events DROP PARTITION p{oldest}{force}")).await;
        }
    }

    async fn delete_old(&mut self, client: &mut Client, hour: u32) {
        let Some(before) = hour.checked_sub(self.plan.rows_live) else { return };
        client.query(&format!("DELETE FROM shop.orders WHERE h < {before}")).await;
        self.known.orders.retain(|hour| *hour >= before);
    }

    /// A backup of the whole database, of some tables, or of a partition, in turn.
    async fn back_up(&mut self, client: &mut Client, hour: u32) {
        let on = match hour % 3 {
            0 => String::new(),
            1 => "ON (orders, totals) ".to_string(),
            _ => format!("ON (events PARTITION (p{})) ", hour / self.plan.partition),
        };
        let label = format!("hourly_{hour}");
        self.store().quiet().await;
        self.store().take_log();
        let began = Instant::now();
        client.query(&format!("BACKUP SNAPSHOT shop.{label} TO repo {on}{}", self.ttl())).await;
        assert_finished(&wait_backup(client, "shop").await);
        let ms = began.elapsed().as_secs_f64() * 1_000.0;
        let requests = self.store().take_log().len() as f64;
        self.known.tally.backups += 1;
        if on.is_empty() {
            self.backups.push((requests, ms));
            let orders = self.known.orders.len() as u64 * u64::from(ORDERS + INSERTED);
            self.known.whole = Some((label.clone(), orders));
        }
        self.known.droppable = Some(label);
    }

    async fn drop_snapshot(&mut self, client: &mut Client) {
        let whole = self.known.whole.as_ref().map(|(label, _)| label.clone());
        let Some(label) = self.known.droppable.take() else { return };
        client.query(&format!("DROP SNAPSHOT {label} ON repo")).await;
        if whole.as_ref() == Some(&label) {
            self.known.whole = None;
        }
        self.known.tally.dropped += 1;
    }

    /// A database of one day.
    async fn create_scratch(&mut self, client: &mut Client) {
        client.query("CREATE DATABASE scratch").await;
        client
            .query("CREATE TABLE scratch.t (h INT NOT NULL, n INT) DUPLICATE KEY (h) DISTRIBUTED BY HASH (h) BUCKETS 2")
            .await;
        client.query("INSERT INTO scratch.t SELECT n, h FROM shop.orders").await;
        client.query(&format!("BACKUP SNAPSHOT scratch.s{} TO repo {}", self.known.tally.backups, self.ttl())).await;
        assert_finished(&wait_backup(client, "scratch").await);
        self.known.tally.backups += 1;
        self.known.tally.loads += 1;
        self.known.scratch = true;
    }

    async fn drop_and_recover(&mut self, client: &mut Client) {
        if !self.known.scratch {
            return;
        }
        client.query("DROP DATABASE scratch").await;
        client.query("RECOVER DATABASE scratch").await;
        self.known.tally.recovered += 1;
    }

    /// Brings a table back under another name, counts it, and drops it.
    async fn restore(&mut self, client: &mut Client, hour: u32) {
        let Some((label, rows)) = self.known.whole.clone() else { return };
        client.query(&format!("RESTORE SNAPSHOT shop.{label} FROM repo ON (orders AS orders_{hour})")).await;
        assert_finished(&wait_restore(client, "shop").await);
        let restored = client.value(&format!("SELECT count(*) FROM shop.orders_{hour}")).await;
        assert_eq!(restored, rows.to_string(), "orders in {label}");
        let force = if self.random.random() { " FORCE" } else { "" };
        client.query(&format!("DROP TABLE shop.orders_{hour}{force}")).await;
        self.known.tally.restores += 1;
    }

    async fn verify(&mut self, client: &mut Client) {
        let Some((label, _)) = self.known.whole.clone() else { return };
        client.query(&format!("VERIFY SNAPSHOT {label} ON repo")).await;
        wait_until(JOB_PATIENCE, async || {
            let rows = client.query("SHOW VERIFY").await;
            let job = rows.record(rows.rows.len().saturating_sub(1)).ok_or("SHOW VERIFY is empty")?;
            match job.field("State") {
                "FINISHED" => {
                    assert_finished(&job);
                    Ok(())
                }
                state => Err(format!("{state}\n{job}")),
            }
        })
        .await;
        self.known.tally.verifications += 1;
    }

    /// Counts what the tables hold, and returns it.
    pub async fn check_rows(&self, client: &mut Client) -> u64 {
        let orders = self.known.orders.len() as u64 * u64::from(ORDERS + INSERTED);
        let events = self.known.events.iter().map(|(_, hours)| u64::from(*hours)).sum::<u64>() * u64::from(EVENTS);
        for (table, rows) in [("orders", orders), ("events", events)] {
            let found = client.value(&format!("SELECT count(*) FROM shop.{table}")).await;
            assert_eq!(found, rows.to_string(), "rows of {table}");
        }
        orders + events
    }
}

/// The body of a load into `orders`.
fn lines(hour: u32, rows: u32, note: u64) -> String {
    (0..rows).map(|n| format!("{hour},{n},order {note:x} {n}\n")).collect()
}
