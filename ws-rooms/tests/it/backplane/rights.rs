//! What Redis's user may not do.

use std::time::Duration;

use devkit::Redis;
use tramline_ws_rooms::{Backplane, ErrorKind, Rooms};

use super::{expect_events, raw, settings, until};
use crate::support::{Gatekeeper, Peer, config, publication, publish};

/// A node that may not listen, or not publish, is not up, and does nothing by halves. It comes once it may.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_the_channels_is_not_up() {
    if devkit::engines::redis().await.is_none() {
        return;
    }
    let server = Redis::start().await.unwrap();
    let mut admin = raw(&server.url()).await;
    for (user, (lacks, has)) in
        [("resetchannels", "allchannels"), ("-spublish", "+spublish"), ("-ssubscribe", "+ssubscribe")]
            .into_iter()
            .enumerate()
    {
        let mut rights = async |some: &[&str]| {
            let mut command = redis::cmd("ACL");
            command.arg("SETUSER").arg(user).arg(some).exec_async(&mut admin).await.unwrap();
        };
        rights(&["on", "nopass", "allkeys", "allcommands", "allchannels", lacks]).await;
        let mut settings = settings(&server.url().replace("://", &format!("://{user}:any@")));
        settings.patience = Duration::from_millis(500);
        let backplane = Backplane::redis(settings.clone()).unwrap();
        let rooms = Rooms::new(config(), Gatekeeper::default(), backplane.clone());
        until(|| !backplane.is_up()).await;
        // Still so after some attempts more.
        for number in 0..3 {
            let result = rooms.publish(publication(&["broadcast"], &format!("e{number}"))).await;
            if lacks != "-ssubscribe" {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::Backplane);
            }
            assert!(!backplane.is_up(), "{lacks}");
        }
        let mut redis = raw(&server.url()).await;
        let head = format!("{}{{broadcast}}m", settings.prefix);
        let offset: Option<u64> =
            redis::cmd("HGET").arg(&head).arg("o").query_async(&mut redis).await.unwrap();
        assert_eq!(
            offset,
            (lacks == "-ssubscribe").then_some(3),
            "what was refused was not written: {lacks}"
        );
        rights(&[has]).await;
        until(|| backplane.is_up()).await;
        let mut ada = Peer::connect(&rooms, "ada/customer/s1").await;
        publish(&rooms, &["broadcast"], "later").await;
        expect_events(&mut ada, offset.unwrap_or(0), &["later"]).await;
    }
}
