//! The example `listen`.

use std::time::Duration;

use tramline_ws_rooms::client::StopReason;
use tramline_ws_rooms::{Close, Target};

use self::program::{Args, listen};
use super::server::Server;
use crate::support::node;

#[path = "../../../examples/listen.rs"]
#[allow(dead_code, reason = "its `main` is the example's")]
mod program;

#[tokio::test]
async fn it_ends_when_none_of_its_rooms_is_open() {
    let server = Server::start(node()).await;
    let rooms = ["payment:1", "somewhere:else", "role:admin"].map(str::to_owned);
    // Of three one is open: it stays, until the session is ended.
    for (rooms, reason) in [(&rooms[1..], StopReason::Forbidden), (&rooms[..], StopReason::Revoked)] {
        let mut args = Args::default();
        args.url = server.url();
        args.token = Some("ada/customer/s1".into());
        args.rooms = rooms.to_vec();
        let ended = async {
            while server.rooms.stats().rooms < 4 {
                tokio::task::yield_now().await;
            }
            let session = Target::Session("s1".to_owned());
            server.rooms.close(&session, &Close::SESSION_REVOKED);
        };
        let listening = listen(args);
        tokio::pin!(listening);
        let found = async {
            tokio::select! {
                found = &mut listening => found,
                () = ended => listening.await,
            }
        };
        // It would go on for ever.
        let found = tokio::time::timeout(Duration::from_secs(10), found).await.expect("it does not end");
        assert_eq!(found.unwrap(), reason);
    }
}
