//! The table at the end, in Markdown: best and median of each step beside its floor and the figures to beat.

use std::fmt;

use crate::Measured;
use crate::meter::Sample;

/// What ClickHouse's BACKUP and RESTORE take for the same data on a machine like the one of docs/benchmarks.md.
const TO_BEAT: &[(&str, &str)] = &[
    ("full backup", "1.94 s, 0.90 of its floor; 304 MB, 207 objects, 228 requests; 3.4 CPU-s/GB; +176 MB"),
    ("restore", "0.63 s, 435 requests, no sync"),
    ("1 % more rows", "0.083 s, 3.24 MB"),
    ("1 % more rows, the last 8 loads merged", "54 % of everything once a merge has run"),
];

const HEADINGS: [&str; 10] = [
    "step",
    "seconds, best / median",
    "floor, median",
    "ratio",
    "MB",
    "objects",
    "requests",
    "CPU-s (per GB)",
    "memory added, MB",
    "to beat",
];

/// What has been measured, in the order of the first of each.
pub struct Report {
    scale: f64,
    repeat: usize,
    steps: Vec<(String, Vec<Measured>)>,
}

impl Report {
    /// Nothing yet.
    pub fn new(scale: f64, repeat: usize) -> Report {
        Report { scale, repeat, steps: Vec::new() }
    }

    /// One measurement of a step.
    pub fn add(&mut self, step: &str, measured: Measured) {
        match self.steps.iter_mut().find(|(name, _)| name == step) {
            Some((_, all)) => all.push(measured),
            None => self.steps.push((step.to_string(), vec![measured])),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let profile = if cfg!(debug_assertions) { "debug" } else { "release" };
        let Report { scale, repeat, .. } = self;
        writeln!(
            f,
            "TPC-H at scale {scale}, {cores} cores, {profile} build, full backup and restore {repeat} times\n"
        )?;
        writeln!(f, "| {} |", HEADINGS.join(" | "))?;
        writeln!(f, "|{}", "---|".repeat(HEADINGS.len()))?;
        for (step, all) in &self.steps {
            writeln!(f, "| {} |", line(step, all).join(" | "))?;
        }
        Ok(())
    }
}

fn line(step: &str, all: &[Measured]) -> [String; 10] {
    let of = |value: fn(&Sample) -> f64| median(all.iter().map(|measured| value(&measured.sample)));
    let best = all.iter().map(|measured| measured.sample.seconds).fold(f64::INFINITY, f64::min);
    let seconds = of(|sample| sample.seconds);
    let floor = median(all.iter().map(|measured| measured.floor.seconds));
    let cpu = median(all.iter().map(|measured| measured.sample.cpu_seconds));
    let per_gb = of(Sample::cpu_seconds_per_gb);
    let to_beat = TO_BEAT.iter().find(|(name, _)| *name == step).map_or("", |(_, figures)| figures);
    [
        step.to_string(),
        format!("{best:.3} / {seconds:.3}"),
        format!("{floor:.3}"),
        format!("{:.2}", seconds / floor),
        format!("{:.2}", of(|sample| sample.bytes as f64) / 1e6),
        format!("{:.0}", of(|sample| sample.objects as f64)),
        format!("{:.0}", of(|sample| sample.requests as f64)),
        // Of next to nothing, a rate says nothing.
        if of(|sample| sample.bytes as f64) > 1e7 { format!("{cpu:.2} ({per_gb:.1})") } else { format!("{cpu:.2}") },
        format!("{:.0}", of(|sample| sample.memory_bytes as f64) / 1e6),
        to_beat.to_string(),
    ]
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
}
