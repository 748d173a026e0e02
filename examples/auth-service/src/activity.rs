//! What users did to their accounts: written by our own events, kept for 90 days.

use std::time::Duration;

use chassis::args;
use chassis::cache::Forget;
use chassis::db::{DbError, Tx};
use contracts::{
    AUTH_QUEUE, LoggedIn, LoggedOut, PasswordChanged, Payload, SessionRevoked, UserChanged, UserDeleted,
    UserUpdated,
};
use jiff::Timestamp;
use tramline_event_hub::{Context, Error, Event, Outcome};
use uuid::Uuid;

use crate::store::Store;

/// The contract's 90 days.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3_600);
const FORGET_EVERY: Duration = Duration::from_secs(3_600);

/// The version of the payloads that are understood here.
const VERSION: u32 = 1;

/// A row of the activity.
struct Entry {
    user_id: Uuid,
    session_id: Option<Uuid>,
    device_id: Option<String>,
    ip: Option<String>,
    reason: Option<&'static str>,
    at: Timestamp,
}

/// Handles one event with one effect.
pub(crate) async fn handle(store: Store, event: Event, _: Context) -> Outcome {
    let entry = match entry(&event) {
        Ok(Some(_)) if event.data_version != VERSION => {
            return Outcome::Reject { reason: format!("version {} is not known here", event.data_version) };
        }
        Ok(Some(entry)) => entry,
        Ok(None) => return Outcome::Ack,
        Err(error) => return Outcome::reject(&error),
    };
    match keep(&store, &event, entry).await {
        Ok(()) => Outcome::Ack,
        Err(error) => Outcome::retry(&error),
    }
}

impl Forget for Store {
    /// Our own users come by here: what a process that died after its commit did not forget is forgotten now.
    async fn forget(&self, event: &Event) {
        let user = match event.event_type.as_str() {
            UserUpdated::TYPE => event.data::<UserChanged>().ok().map(|user| user.user_id),
            UserDeleted::TYPE => event.data::<UserDeleted>().ok().map(|user| user.user_id),
            _ => None,
        };
        if let Some(user) = user {
            self.forget_user(user).await;
        }
    }
}

/// Forgets what is older than 90 days, once an hour, until dropped.
pub(crate) async fn forget_old(store: Store) {
    store.db().migrated().await;
    loop {
        let sql = "DELETE FROM activity WHERE at < $1";
        if let Err(error) = store.db().execute(sql, args![Timestamp::now() - KEPT]).await {
            tracing::warn!(%error, "old activity stays for now");
        }
        tokio::time::sleep(FORGET_EVERY).await;
    }
}

async fn keep(store: &Store, event: &Event, entry: Entry) -> Result<(), DbError> {
    let mut tx = store.db().begin().await?;
    if tx.first_time(AUTH_QUEUE, &event.id).await? {
        insert(&mut tx, &event.event_type, entry).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn insert(tx: &mut Tx, action: &str, entry: Entry) -> Result<(), DbError> {
    tx.execute(
        "INSERT INTO activity (id, user_id, action, session_id, device_id, ip, reason, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        args![
            Uuid::now_v7(),
            entry.user_id,
            action,
            entry.session_id,
            entry.device_id,
            entry.ip,
            entry.reason,
            entry.at,
        ],
    )
    .await
    .map(drop)
}

/// Sign-ins, sign-outs, revocations and password changes; the rest of `auth.#` is no activity of the user's.
fn entry(event: &Event) -> Result<Option<Entry>, Error> {
    Ok(Some(match event.event_type.as_str() {
        LoggedIn::TYPE => {
            let LoggedIn { user_id, session_id, device_id, ip, at } = event.data()?;
            Entry { user_id, session_id: Some(session_id), device_id, ip, reason: None, at }
        }
        LoggedOut::TYPE => {
            let LoggedOut { user_id, session_id, device_id, ip, at } = event.data()?;
            Entry { user_id, session_id: Some(session_id), device_id, ip, reason: None, at }
        }
        SessionRevoked::TYPE => {
            let SessionRevoked { user_id, session_id, device_id, reason, at } = event.data()?;
            let reason = Some(reason.as_str());
            Entry { user_id, session_id: Some(session_id), device_id, ip: None, reason, at }
        }
        PasswordChanged::TYPE => {
            let PasswordChanged { user_id, at } = event.data()?;
            Entry { user_id, session_id: None, device_id: None, ip: None, reason: None, at }
        }
        _ => return Ok(None),
    }))
}
