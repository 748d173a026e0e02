//! Prints the frames of `tramline.v1` as TypeScript: the file that `@tramline/ws-rooms/types` is.
//!
//! ```sh
//! cargo run -p tramline-ws-rooms --example types --features typescript
//! ```
//!
//! `cargo dev types` writes the file, and `cargo dev check` compares it.

#![allow(clippy::print_stdout, reason = "a program for the command line")]

use tramline_ws_rooms::RoomId;
use tramline_ws_rooms::protocol::{
    Authenticated, ErrorFrame, Gap, GapReason, Goodbye, Member, Moved, NotRecovered, Numbered, Position,
    PresenceList, Recovered, Request, RoomPosition, ServerFrame, Subscribed, UserMoved, Welcome, WireLimits,
};
use ts_rs::{Config, TS};

fn main() {
    println!(
        "// The frames of `tramline.v1`, from the Rust types. Written by `cargo dev types`: do not edit.\n"
    );
    println!("import type {{ RoomEvent }} from \"./frames.js\";");
    // Offsets stay below 2^53 (protocol/README.md).
    let config = Config::new().with_large_int("number");
    let types = [
        declared::<ServerFrame>(&config),
        declared::<Welcome>(&config),
        declared::<RoomPosition>(&config),
        declared::<WireLimits>(&config),
        declared::<Numbered>(&config),
        declared::<Moved>(&config),
        declared::<Gap>(&config),
        declared::<GapReason>(&config),
        declared::<UserMoved>(&config),
        declared::<Subscribed>(&config),
        declared::<NotRecovered>(&config),
        declared::<Recovered>(&config),
        declared::<PresenceList>(&config),
        declared::<Member>(&config),
        declared::<Authenticated>(&config),
        declared::<ErrorFrame>(&config),
        declared::<Goodbye>(&config),
        declared::<Request>(&config),
        declared::<Position>(&config),
        declared::<RoomId>(&config),
    ];
    for text in types {
        println!("\n{text}");
    }
    println!("\n/** A request, and the id that its answer repeats. */");
    println!("export type ClientFrame = Request & {{ id?: string | number }};");
}

/// The type with its comment, exported.
fn declared<T: TS>(config: &Config) -> String {
    let docs = T::docs().unwrap_or_default();
    format!("{docs}export {}", T::decl(config)).trim_end().to_owned()
}
