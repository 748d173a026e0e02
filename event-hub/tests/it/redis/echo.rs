//! Both at once, on the same channels.

use serde_json::{Value, json};
use tramline_event_hub::redis::{Mapping, MirrorConfig, PubSub};
use tramline_event_hub::{Event, Hub};

use crate::redis::{Listener, Place, hasty, next, number, say, seen};
use crate::support::name;

fn redis(url: &str, name: &str, mapping: &Mapping) -> PubSub {
    let mut config = hasty();
    config.name = name.to_owned();
    config.mapping = mapping.clone();
    PubSub::new(url, config).unwrap()
}

/// Each goes the other way once, and comes back never. A last one, which is waited for, is behind any echo.
#[tokio::test]
async fn nothing_comes_back() {
    let Some(url) = devkit::engines::redis().await else { return };
    for mapping in [Mapping::cloud_events(), Mapping::base_event(), Mapping::data()] {
        let place = Place::memory().await;
        let redis = redis(url, "one", &mapping);
        let (bridge, mut monitor) = place.bridge(&redis).await;
        let mirror = place.mirror(&redis, MirrorConfig::default());
        let (work, mut events) = place.work();
        let mut listener = Listener::of(url, &place.channel("*")).await;

        for n in 1..=3 {
            // Ours goes out, and the bridge leaves it alone.
            let sent = place.event("new", n);
            place.hub.publish(&sent).await.unwrap();
            assert_eq!(next(&mut events).await.id, sent.id);
            let (channel, body) = listener.next().await;
            assert_eq!((channel, &body["redisvia"]), (place.channel("new"), &json!("one")));
            seen(&mut monitor, |status| status.echoes == n as u64).await;

            // Theirs comes in, and the mirror leaves it alone.
            let theirs =
                json!({ "id": name(), "type": place.channel("old"), "data": { "n": n }, "n": n }).to_string();
            say(url, &place.channel("old"), &theirs).await;
            let (channel, body) = listener.next().await;
            assert_eq!((channel, body.to_string()), (place.channel("old"), parsed(&theirs)));
            let event = next(&mut events).await;
            assert_eq!((event.event_type.clone(), number(&event)), (place.channel("old"), n as u64));
        }
        mirror.stop().await.unwrap();
        bridge.stop().await.unwrap();
        let status = monitor.status();
        assert_eq!((status.echoes, status.published, status.malformed), (3, 3, 0), "{mapping:?}");
        assert!(listener.heard.try_recv().is_err() && events.try_recv().is_err(), "{mapping:?}");
        assert_eq!(place.waiting("mirror").await, 0);
        work.stop().await.unwrap();
    }
}

/// Two hubs that meet on one Redis under names of their own hear each other, once.
#[tokio::test]
async fn two_hubs_hear_each_other_once() {
    let Some(url) = devkit::engines::redis().await else { return };
    for mapping in [Mapping::cloud_events(), Mapping::data()] {
        let one = Place::memory().await;
        let two = Place::on(Hub::memory(Default::default()), &one.prefix).await;
        let (redis_one, redis_two) = (redis(url, "one", &mapping), redis(url, "two", &mapping));
        let (bridge_one, mut monitor) = one.bridge(&redis_one).await;
        let (bridge_two, mut other) = two.bridge(&redis_two).await;
        let mirrors = [
            one.mirror(&redis_one, MirrorConfig::default()),
            two.mirror(&redis_two, MirrorConfig::default()),
        ];
        let (work_one, mut events_one) = one.work();
        let (work_two, mut events_two) = two.work();
        for n in 0..3 {
            one.hub.publish(&one.event("a", n)).await.unwrap();
            two.hub.publish(&two.event("b", n)).await.unwrap();
            let both = |name, event: Event| {
                assert_eq!((event.event_type.clone(), number(&event)), (one.channel(name), n as u64));
                assert_eq!(event.data.get(), json!({ "n": n }).to_string(), "without the mark");
                event.extensions.get("redisvia").and_then(|via| via.as_text().map(str::to_owned))
            };
            let mut vias = Vec::new();
            for events in [&mut events_one, &mut events_two] {
                let mut here = [next(events).await, next(events).await];
                here.sort_by(|a, b| a.event_type.cmp(&b.event_type));
                let [a, b] = here;
                vias.push((both("a", a), both("b", b)));
            }
            assert_eq!(vias[0], (None, Some("two one".to_owned())));
            assert_eq!(vias[1], (Some("one two".to_owned()), None));
        }
        for mirror in mirrors {
            mirror.stop().await.unwrap();
        }
        seen(&mut monitor, |status| status.echoes == 3).await;
        seen(&mut other, |status| status.echoes == 3).await;
        bridge_one.stop().await.unwrap();
        bridge_two.stop().await.unwrap();
        assert_eq!((monitor.status().published, other.status().published), (3, 3));
        assert!(events_one.try_recv().is_err() && events_two.try_recv().is_err());
        work_one.stop().await.unwrap();
        work_two.stop().await.unwrap();
    }
}

fn parsed(json: &str) -> String {
    serde_json::from_str::<Value>(json).unwrap().to_string()
}
