//! The kvarts program: reads the configuration, starts the server, waits for its end.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use kvarts::config::{CliError, Config, cli};
use kvarts::logging::LogSwitch;
use kvarts::shared::clock::Clock;

#[global_allocator]
static ALLOCATOR: kvarts::alloc::Allocator = kvarts::alloc::Allocator;

fn main() -> ExitCode {
    kvarts::alloc::configure();
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    if let Some(status) = kvarts::persistence::tools::run(&arguments, &mut std::io::stdout().lock()) {
        return ExitCode::from(status);
    }
    if let Some(status) = kvarts::check_health(&arguments, &mut std::io::stdout().lock()) {
        return ExitCode::from(status);
    }
    if let Some(status) = kvarts::export_tls(&arguments, &mut std::io::stdout().lock()) {
        return ExitCode::from(status);
    }
    let config = match cli::from_args(std::env::args_os()) {
        Ok(config) => config,
        Err(answer @ (CliError::Help(_) | CliError::Version(_))) => {
            // Whoever has read enough of it (`kvarts --help | head`) closes the pipe.
            drop(writeln!(std::io::stdout(), "{answer}"));
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(error.exit_code());
        }
    };
    match kvarts::logging::start(&config) {
        Ok(log) => serve(config, log),
        Err(error) => {
            eprintln!("cannot open the log file: {error}");
            ExitCode::FAILURE
        }
    }
}

/// How long the end may take before the process is ended all the same.
const END_TIME: Duration = Duration::from_secs(15);

/// Ends the process if the server does not end by itself: whoever starts it again needs its port.
fn cut_an_end_that_hangs() {
    std::thread::spawn(|| {
        std::thread::sleep(END_TIME);
        tracing::error!("the end took more than {} s and is cut", END_TIME.as_secs());
        std::process::exit(1);
    });
}

fn serve(config: Config, log: LogSwitch) -> ExitCode {
    // Tools know by this line, and by one that `start_with_signals` writes, which process writes the log.
    tracing::info!("Kvarts {} is starting, PID: {}", kvarts::VERSION, std::process::id());
    match kvarts::start_with_signals(config, Clock::system()) {
        Ok(handle) => {
            handle.server().set_log_switch(log);
            match handle.wait_until_loaded() {
                Ok(true) => {}
                Ok(false) => return end(handle),
                Err(error) => {
                    cut_an_end_that_hangs();
                    return fail(&error);
                }
            }
            let ports = handle.ports();
            tracing::info!(
                version = kvarts::VERSION,
                port = ports.main,
                tls_port = ports.tls,
                read_only_port = ports.read_only,
                workers = handle.server().identity.workers,
                "started"
            );
            // In the words that wait strategies for containers look for.
            for kind in handle.connection_kinds() {
                tracing::info!("Ready to accept connections {kind}");
            }
            handle.wait();
            end(handle)
        }
        Err(error) => fail(&error),
    }
}

fn end(handle: kvarts::Handle) -> ExitCode {
    cut_an_end_that_hangs();
    let server = std::sync::Arc::clone(handle.server());
    drop(handle);
    let fails = kvarts::Handle::report_compat(&server);
    tracing::info!("Kvarts is now ready to exit, bye bye...");
    // The system takes memory back quicker, and closes at last what SHUTDOWN came on.
    std::mem::forget(server);
    if fails { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn fail(error: &kvarts::StartError) -> ExitCode {
    eprintln!("{error}");
    // The whole text stands in the message, in the words that tools look for.
    tracing::error!("{error}");
    ExitCode::FAILURE
}
