//! What a process takes of the machine, from `/proc`: processor time and memory.

use std::fs;

/// Ticks of a second in `/proc/<pid>/stat`: fixed by the kernel's interface, whatever its own clock.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds that all threads of a process have spent on processors, those that have ended included.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = read(pid, "stat");
    // The second field is the program's name in parentheses, which may hold anything.
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let ticks = |place: usize| -> f64 {
        let field = fields.split_whitespace().nth(place);
        field.and_then(|field| field.parse().ok()).expect("a number of ticks")
    };
    // utime and stime, the 14th and 15th of all fields.
    (ticks(11) + ticks(12)) / TICKS_PER_SECOND
}

/// Bytes of a process that are in memory now.
pub fn memory_bytes(pid: u32) -> u64 {
    status_bytes(pid, "VmRSS:")
}

/// The most that was in memory at once, since its start or the last [`reset_memory_peak`].
pub fn memory_peak_bytes(pid: u32) -> u64 {
    status_bytes(pid, "VmHWM:")
}

/// Lets the peak begin again at what is in memory now.
pub fn reset_memory_peak(pid: u32) {
    let path = format!("/proc/{pid}/clear_refs");
    fs::write(&path, "5").unwrap_or_else(|error| panic!("write {path}: {error}"));
}

fn status_bytes(pid: u32, name: &str) -> u64 {
    let status = read(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or_else(|| panic!("no {name} of process {pid}")) << 10
}

fn read(pid: u32, file: &str) -> String {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_memory_show() {
        let pid = std::process::id();
        let before = cpu_seconds(pid);
        while cpu_seconds(pid) < before + 0.05 {
            std::hint::black_box((0..100_000_u64).sum::<u64>());
        }
        reset_memory_peak(pid);
        let resident = memory_bytes(pid);
        drop(std::hint::black_box(vec![1_u8; 64 << 20]));
        assert!(memory_peak_bytes(pid) >= resident + (48 << 20));
    }
}
