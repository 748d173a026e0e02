//! Prints the events' data as TypeScript: `web/events.ts`, which `cargo dev types` writes.

#![allow(clippy::print_stdout, reason = "a program for the command line")]

fn main() {
    print!("{}", contracts::typescript::text());
}
