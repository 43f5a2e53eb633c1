//! The program `diffeo`; see the library for what it does.

/// The networks of a policy are small and their arrays come and go by the thousand a second: the system's allocator takes a fifth of that time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(diffeo_cli::run(std::env::args_os()))
}
