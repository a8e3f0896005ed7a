//! A program that is nothing but a supervisor: for programs that embed the host and cannot be their own, and for tests.

use std::process::ExitCode;

fn main() -> ExitCode {
    homeostat_process::as_supervisor(std::env::args_os()).unwrap_or_else(|| {
        eprintln!("homeostat-supervise is started by a homeostat host, and does nothing by itself");
        ExitCode::from(2)
    })
}
