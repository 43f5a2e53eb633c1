//! How much memory a table may take: refused with numbers before the work, instead of killed in the middle of it.

use diffeo_table::MemoryLimit;

/// Share of the free memory that the numbers of a table may take: training keeps a second copy and needs room to work.
const SHARE: u64 = 3;

/// The limit that was given, or a share of what is free.
pub fn limit(given: Option<u64>) -> MemoryLimit {
    given
        .or_else(|| free().map(|bytes| bytes / SHARE))
        .map_or(MemoryLimit::unlimited(), MemoryLimit::bytes)
}

/// Bytes that this process may still take, as far as the system says.
#[cfg(target_os = "linux")]
fn free() -> Option<u64> {
    let address_space = rustix::process::getrlimit(rustix::process::Resource::As).current;
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<u64>()
            .ok()
            .map(|kib| kib.saturating_mul(1024))
    });
    [address_space, machine, cgroup()].into_iter().flatten().min()
}

/// What is left of the limit of a container (control group v2).
#[cfg(target_os = "linux")]
fn cgroup() -> Option<u64> {
    let read = |name: &str| {
        std::fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?.trim().parse::<u64>().ok()
    };
    Some(read("memory.max")?.saturating_sub(read("memory.current")?))
}

#[cfg(not(target_os = "linux"))]
fn free() -> Option<u64> {
    None
}
