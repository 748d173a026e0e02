//! The payloads as TypeScript, for front ends.

use ts_rs::{Config, TS};

use crate::event::Payload;
use crate::{
    AuditCreated, ConfigUpdated, LoggedIn, LoggedOut, PasswordChanged, PaymentChanged, PaymentEvent,
    PaymentStatus, PaymentType, ProfileUpdated, ResourceType, RevokeReason, Role, SessionRevoked,
    UserChanged, UserCreated, UserDeleted, UserStatus, UserUpdated,
};

/// The text of `web/events.ts`.
#[must_use]
pub fn text() -> String {
    // Versions are counted one by one: none comes near 2^53.
    let config = Config::new().with_large_int("number");
    let mut text =
        "// The events' data, from the Rust types. Written by `cargo dev types`: do not edit.\n".to_owned();
    let types = [
        declared::<UserChanged>(&config),
        declared::<UserCreated>(&config),
        declared::<UserUpdated>(&config),
        declared::<UserDeleted>(&config),
        declared::<LoggedIn>(&config),
        declared::<LoggedOut>(&config),
        declared::<PasswordChanged>(&config),
        declared::<SessionRevoked>(&config),
        declared::<PaymentChanged>(&config),
        declared::<ProfileUpdated>(&config),
        declared::<ConfigUpdated>(&config),
        declared::<AuditCreated>(&config),
        declared::<Role>(&config),
        declared::<UserStatus>(&config),
        declared::<PaymentStatus>(&config),
        declared::<PaymentType>(&config),
        declared::<RevokeReason>(&config),
        declared::<ResourceType>(&config),
    ];
    for declared in types {
        text.push('\n');
        text.push_str(&declared);
    }
    text.push_str("\n/** The data of each event, by the event's type. */\nexport interface EventData {\n");
    let mut event = |event_type: &str, data: &str| text.push_str(&format!("  \"{event_type}\": {data};\n"));
    let name = |of: fn(&Config) -> String| of(&config);
    event(UserCreated::TYPE, &name(UserCreated::name));
    event(UserUpdated::TYPE, &name(UserUpdated::name));
    event(UserDeleted::TYPE, &name(UserDeleted::name));
    event(LoggedIn::TYPE, &name(LoggedIn::name));
    event(LoggedOut::TYPE, &name(LoggedOut::name));
    event(PasswordChanged::TYPE, &name(PasswordChanged::name));
    event(SessionRevoked::TYPE, &name(SessionRevoked::name));
    let payments = [
        PaymentEvent::Created,
        PaymentEvent::Updated,
        PaymentEvent::Completed,
        PaymentEvent::Failed,
        PaymentEvent::Cancelled,
    ];
    for payment in payments {
        event(payment.event_type(), &name(PaymentChanged::name));
    }
    event(ProfileUpdated::TYPE, &name(ProfileUpdated::name));
    event(ConfigUpdated::TYPE, &name(ConfigUpdated::name));
    event(AuditCreated::TYPE, &name(AuditCreated::name));
    text.push_str("}\n");
    text
}

/// The type with its comment, exported.
fn declared<T: TS>(config: &Config) -> String {
    let docs = T::docs().unwrap_or_default();
    format!("{docs}export {}\n", T::decl(config).trim_end())
}

#[cfg(test)]
mod tests;
