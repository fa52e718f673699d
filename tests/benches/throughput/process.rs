//! What a process used, by the kernel's account (`proc(5)`).

use std::time::Duration;

/// Clock ticks of a second, as the kernel tells user space on every Linux.
const TICKS_PER_SECOND: u32 = 100;

/// Processor time that the process has used.
pub fn cpu(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name, in parentheses, may hold blanks.
    let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..]
        .split_ascii_whitespace()
        .collect();
    let ticks: u32 = fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap();
    Duration::from_secs(u64::from(ticks)) / TICKS_PER_SECOND
}

/// The first process that the process started.
pub fn child(pid: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.split_ascii_whitespace().next()?.parse().ok()
}

/// The most memory that it ever had, MB.
pub fn peak_megabytes(pid: u32) -> f64 {
    status_kilobytes(pid, "VmHWM:") / 1000.0
}

/// The memory that it has, MB.
pub fn resident_megabytes(pid: u32) -> f64 {
    status_kilobytes(pid, "VmRSS:") / 1000.0
}

fn status_kilobytes(pid: u32, name: &str) -> f64 {
    const BYTES_PER_KIB: f64 = 1024.0;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib: f64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib * BYTES_PER_KIB / 1000.0
}
