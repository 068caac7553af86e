//! The kvarts program: reads the configuration, starts the server, waits for its end.

use std::process::ExitCode;

use kvarts::config::cli;
use kvarts::server::clock::Clock;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let config = match cli::from_args(std::env::args_os()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(error.exit_code());
        }
    };
    match kvarts::start(config, Clock::system()) {
        Ok(handle) => {
            handle.wait();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
