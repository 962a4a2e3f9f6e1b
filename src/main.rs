//! The command `rollcast`: see `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    rollcast::cli::main()
}
