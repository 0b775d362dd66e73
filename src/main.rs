//! The program: parses the command line, runs one subcommand, and turns errors into exit code 2.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    probecard::cmd::main()
}
