//! What cannot be used is refused, in words that say what it must be.

use std::error::Error as _;
use std::time::Duration;

use tramline_cache::{
    Cache, CacheConfig, Error, ErrorKind, Policy, RedisConfig, Refresh, Store, StoreConfig, Tag,
};

fn cache(store: &Store, change: impl FnOnce(&mut CacheConfig)) -> Result<Cache<u64, u64>, Error> {
    let mut config = CacheConfig::new("one");
    change(&mut config);
    store.cache(config)
}

fn said(refused: &Error) -> String {
    assert_eq!(refused.kind(), ErrorKind::Config);
    refused.to_string().strip_prefix("unusable configuration: ").unwrap().to_owned()
}

#[test]
fn a_policy() {
    let said = |change: fn(&mut Policy)| {
        let store = Store::memory(StoreConfig::default());
        said(&cache(&store, |config| change(&mut config.policy)).unwrap_err())
    };
    assert_eq!(said(|policy| policy.jitter = 1.1), "`jitter` must be between 0 and 1, and is 1.1");
    assert_eq!(
        said(|policy| policy.refresh = Refresh::At { share: -0.5 }),
        "the share of `Refresh::At` must be between 0 and 1, and is -0.5"
    );
    assert_eq!(
        said(|policy| policy.refresh = Refresh::Early { beta: 0.0 }),
        "the β of `Refresh::Early` must be more than 0, and is 0"
    );
    assert_eq!(said(|policy| policy.hard_timeout = Duration::ZERO), "`hard_timeout` must be more than zero");
    assert_eq!(
        said(|policy| policy.tags = (0..17_u32).map(|n| Tag::new("t", &n)).collect()),
        "an entry must have no more than 16 tags, and these are 17"
    );
}

#[test]
fn a_cache() {
    let store = Store::memory(StoreConfig::default());
    let first = cache(&store, |_| {}).unwrap();
    assert_eq!(said(&cache(&store, |_| {}).unwrap_err()), "there is a cache `one.1` already");
    drop(first);
    assert!(cache(&store, |_| {}).is_ok(), "its last handle is gone");
    for name in ["", "A", "a b", "a{b}", &"a".repeat(33)] {
        let refused = cache(&store, |config| config.name = name.to_owned()).unwrap_err();
        assert_eq!(said(&refused), "a cache's name must be 1 to 32 of a-z, 0-9, - and _");
    }
    assert_eq!(
        said(&cache(&store, |config| config.max_weight = 2 * 1024 * 1024 - 1).unwrap_err()),
        "`max_weight` must be at least twice `max_value`, and they are 2097151 and 1048576"
    );
    assert!(cache(&store, |config| config.max_weight = 2 * 1024 * 1024).is_ok());
}

#[tokio::test]
async fn redis() {
    let refused = |config: RedisConfig| Store::redis(config, StoreConfig::default()).unwrap_err();
    let there = |change: fn(&mut RedisConfig)| {
        let mut config = RedisConfig::new("redis://127.0.0.1:1");
        change(&mut config);
        said(&refused(config))
    };
    type Change = fn(&mut RedisConfig);
    let times: [(&str, Change); 3] = [
        ("response_timeout", |config| config.response_timeout = Duration::ZERO),
        ("connect_timeout", |config| config.connect_timeout = Duration::ZERO),
        ("max_backoff", |config| config.max_backoff = Duration::ZERO),
    ];
    for (name, change) in times {
        assert_eq!(there(change), format!("`{name}` must be more than zero"));
    }
    let prefix = "`prefix` must be 1 to 64 letters, digits and `:-_./`";
    assert_eq!(there(|config| config.prefix = "a b".to_owned()), prefix);

    // Why, its source says.
    let url = "the URL or the certificates of Redis cannot be used";
    for wrong in ["", "http://localhost", "redis//x"] {
        assert_eq!(said(&refused(RedisConfig::new(wrong))), url, "{wrong}");
    }
    let mut tls = RedisConfig::new("rediss://127.0.0.1:1");
    tls.root_certificates = Some(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----".to_vec());
    assert_eq!(said(&refused(tls)), url);
    let nowhere = [
        (
            RedisConfig::sentinel([""; 0], "name"),
            "there must be sentinels, and their master must have a name",
        ),
        (RedisConfig::cluster([""; 0]), "a cluster must have nodes"),
    ];
    for (config, why) in nowhere {
        let refused = refused(config);
        assert!(refused.source().unwrap().to_string().contains(why), "{refused:?}");
        assert_eq!(said(&refused), url);
    }
}

/// What is meant to live for a week does not live for a day without a word.
#[test]
fn a_policy_that_wants_more_than_the_store_gives() {
    const DAY: Duration = Duration::from_secs(24 * 60 * 60);
    const MORE: Duration = DAY.saturating_add(Duration::from_secs(1));
    let policy = |ttl, stale_for, negative_ttl| {
        let mut policy = Policy::new(ttl);
        (policy.stale_for, policy.negative_ttl) = (stale_for, negative_ttl);
        policy
    };
    let short = Duration::from_secs(1);
    let too_long = [
        (
            policy(MORE, None, None),
            "`ttl` must be no longer than `StoreConfig::max_ttl`, 86400s, and is 86401s",
        ),
        (
            policy(DAY, Some(short), None),
            "`ttl` and `stale_for` together must be no longer than `StoreConfig::max_ttl`, 86400s, and is 86401s",
        ),
        (
            policy(short, None, Some(MORE)),
            "`negative_ttl` must be no longer than `StoreConfig::max_ttl`, 86400s, and is 86401s",
        ),
    ];
    let store = Store::memory(StoreConfig::default());
    let usual = cache(&store, |_| {}).unwrap();
    let mut cutting = StoreConfig::default();
    cutting.cut_policies = true;
    let cutting = Store::memory(cutting);
    for (policy, why) in too_long {
        let other = |config: &mut CacheConfig| {
            config.name = "two".to_owned();
            config.policy = policy.clone();
        };
        assert_eq!(said(&cache(&store, other).unwrap_err()), why);
        assert_eq!(said(&usual.with_policy(policy.clone()).unwrap_err()), why);
        assert!(cache(&cutting, other).unwrap().with_policy(policy.clone()).is_ok());
    }
    assert!(usual.with_policy(policy(DAY, None, Some(DAY))).is_ok());
    assert!(usual.with_policy(policy(short, Some(DAY.saturating_sub(short)), None)).is_ok());
    // Entries count their lives in 32 bits.
    let mut endless = StoreConfig::default();
    endless.max_ttl = Duration::MAX;
    let endless = cache(&Store::memory(endless), |config| config.policy.ttl = DAY * 41).unwrap_err();
    assert!(said(&endless).contains("3456000s"), "40 days");
}
