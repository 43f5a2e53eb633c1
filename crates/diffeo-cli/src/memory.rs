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
    let container = cgroup(std::path::Path::new("/sys/fs/cgroup"));
    [address_space, machine, container].into_iter().flatten().min()
}

/// What is left of the limit of a container (control group v2), pages of files included that the kernel keeps as long as nobody else wants the room.
#[cfg(target_os = "linux")]
fn cgroup(folder: &std::path::Path) -> Option<u64> {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let number = |text: String| text.trim().parse::<u64>().ok();
    let (most, used) = (number(read("memory.max")?)?, number(read("memory.current")?)?);
    let statistics = read("memory.stat").unwrap_or_default();
    let pages: u64 = ["active_file ", "inactive_file "]
        .iter()
        .filter_map(|name| statistics.lines().find_map(|line| line.strip_prefix(name)))
        .filter_map(|bytes| bytes.trim().parse::<u64>().ok())
        .sum();
    Some(most.saturating_sub(used.saturating_sub(pages)))
}

#[cfg(not(target_os = "linux"))]
fn free() -> Option<u64> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn pages_of_files_that_were_read_do_not_count_as_used() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        write("memory.max", "max\n");
        write("memory.current", "900\n");
        assert_eq!(cgroup(folder.path()), None, "without a limit");
        write("memory.max", "1000\n");
        assert_eq!(cgroup(folder.path()), Some(100));
        write("memory.stat", "anon 100\nactive_file 200\ninactive_file 500\nfile 750\n");
        assert_eq!(cgroup(folder.path()), Some(800));
    }
}
