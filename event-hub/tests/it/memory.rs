//! The conformance suite on the memory hub.

use tramline_event_hub::conformance::{self, Bed};
use tramline_event_hub::{Hub, HubConfig, MemoryConfig};

fn hub(config: HubConfig) -> Hub {
    let mut memory = MemoryConfig::default();
    memory.hub = config;
    Hub::memory(memory)
}

macro_rules! suite {
    ($($name:ident),* $(,)?) => {
        $(#[tokio::test]
        async fn $name() {
            conformance::$name(&Bed::new(hub)).await;
        })*

        #[test]
        fn the_suite_is_whole() {
            assert_eq!(conformance::names(), [$(stringify!($name)),*]);
        }
    };
}

suite! {
    routes_by_topic, tells_what_is_returned, answers_each_of_many, refuses_an_undeclared_exchange,
    keeps_for_a_late_consumer, holds_the_prefetch, shares_work, drains, gives_back_when_dropped,
    gives_back_on_return, refuses_an_unknown_queue, reports_its_health,
    handlers_take_what_they_ask_for, errors_follow_the_table,
    keeps_the_order_of_each_key, a_key_goes_on_after_a_dead_letter, an_ordered_consumer_can_halt,
    one_consumer_is_active_at_a_time, refuses_contradictions,
    an_outage_empties_nothing, bad_events_are_no_outage, an_error_can_pause_the_consumer,
    retries_after_delays, delays_do_not_block_each_other, dead_letters_keep_their_story, poison_becomes_a_dead_letter,
    panics_and_hangs_are_failures, dead_letters_stay_until_handled,
    a_feed_keeps_its_place, a_feed_in_use_is_left_alone, a_full_feed_tells,
    old_versions_reach_new_handlers, unknown_versions_become_dead_letters, binary_cloudevents_are_handled,
}
