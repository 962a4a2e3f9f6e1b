//! The command `rollcast`.
fn main() {}
