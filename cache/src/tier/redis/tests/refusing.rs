//! A Redis that answers, and takes no writes.

use super::*;
use crate::tier::suite::{LONG, filled, name, payload, slot, until, value};

/// It is read as long as nothing has to be ended: what cannot be ended there must not be read there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_takes_no_writes_is_read_until_something_ends() {
    let Some((server, config)) = server().await else { return };
    let mut raw = Raw::new(&server.url()).await;
    // A place where its file cannot come.
    std::fs::create_dir(server.folder().join("dump.rdb")).unwrap();
    let mut saving = cmd("CONFIG");
    saving.arg("SET").arg("save").arg("3600 1");
    let mut not_saving = cmd("CONFIG");
    not_saving.arg("SET").arg("save").arg("");
    for lacks_replicas in [true, false] {
        let node = Node::new(&config);
        let (old, missing, leased) = (slot(), slot(), slot());
        let token = Token::draw();
        filled(&node.tier, &old, "old").await;
        assert!(matches!(node.tier.read_or_lease(&leased, token, LONG).await, Found::Leased));
        node.tier.marks(&[name("x")], LONG).await.unwrap();
        if lacks_replicas {
            let _: () = raw.say("CONFIG SET min-replicas-to-write 1").await;
        } else {
            saving.query_async::<()>(&mut raw.0).await.unwrap();
            let _: ::redis::Value = raw.say("BGSAVE").await;
            let failed = async || {
                let says: String = Raw(raw.0.clone()).say("INFO persistence").await;
                says.contains("rdb_last_bgsave_status:err")
            };
            until(failed).await;
        }
        assert_eq!(payload(&node.tier, &old).await.as_deref(), Some("old"));
        assert!(matches!(node.tier.read_or_lease(&old, token, LONG).await, Found::Slot(_)));
        assert!(matches!(node.tier.read_or_lease(&missing, token, LONG).await, Found::Nothing));
        let both = [old.clone(), missing.clone()];
        let many = node.tier.read_or_lease_many(&both, token, LONG).await.unwrap();
        assert!(matches!(many[..], [Found::Slot(_), Found::Nothing]), "{many:?}");
        assert_eq!(node.tier.fill(&leased, token, value("x").1, LONG).await, Filled::Away);
        assert!(node.is_open(), "it may be read");
        if lacks_replicas {
            node.tier.end(&Ending::Key(old.clone())).await;
        } else {
            node.tier.end_many(&[missing, old.clone()].map(Ending::Key)).await;
        }
        assert!(!node.is_open());
        for _ in 0..200 {
            assert!(matches!(node.tier.read(&old).await, Found::Away), "what ended there is not read");
        }
        if lacks_replicas {
            let _: () = raw.say("CONFIG SET min-replicas-to-write 0").await;
        } else {
            not_saving.query_async::<()>(&mut raw.0).await.unwrap();
        }
        assert!(matches!(first(&node, &old).await, Found::Nothing));
    }
}
