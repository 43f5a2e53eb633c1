//! The program `diffeo`; see the library for what it does.

fn main() -> std::process::ExitCode {
    std::process::ExitCode::from(diffeo_cli::run(std::env::args_os()))
}
