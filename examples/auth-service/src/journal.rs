//! The events of a session, written in the transaction that changes it.

use chassis::db;
use chassis::origin::Origin;
use contracts::{LoggedIn, LoggedOut, Payload, RevokeReason, SessionRevoked};
use jiff::Timestamp;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tramline_session_sync::{BoxError, Conn, Journal, Reason, SessionChange, SessionView};
use uuid::Uuid;

use crate::store::SOURCE;

tokio::task_local! {
    // The library calls the journal from inside its transaction and knows nothing of requests; a task-local hands
    // the request's ids past it, and what ended back. Outside of a request (the sweep) there is none.
    static CAUSE: Cause;
}

struct Cause {
    origin: Origin,
    ended: Mutex<Vec<Ended>>,
}

/// A session that ended, if the transaction that says so was committed.
pub(crate) struct Ended {
    pub(crate) user: String,
    pub(crate) session: String,
    pub(crate) at: Timestamp,
}

/// Runs `work`, whose session changes belong to `origin`; tells which sessions it ended.
pub(crate) async fn within<F: Future>(origin: &Origin, work: F) -> (F::Output, Vec<Ended>) {
    let cause = Cause { origin: origin.clone(), ended: Mutex::default() };
    let ends = async {
        let done = work.await;
        let ended = CAUSE.with(|cause| std::mem::take(&mut *ended(cause)));
        (done, ended)
    };
    CAUSE.scope(cause, ends).await
}

fn ended(cause: &Cause) -> MutexGuard<'_, Vec<Ended>> {
    cause.ended.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Writes each change of a session as the contract's events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EventJournal;

impl Journal for EventJournal {
    async fn record<'a>(&'a self, conn: Conn<'a>, change: &'a SessionChange) -> Result<(), BoxError> {
        let mut conn = match conn {
            Conn::Postgres(conn) => Held::Postgres(conn),
            Conn::Sqlite(conn) => Held::Sqlite(conn),
            _ => return Err("the sessions are in a database without an outbox".into()),
        };
        match change {
            SessionChange::Opened { session, .. } => {
                let told = LoggedIn {
                    user_id: session.user_id.parse()?,
                    session_id: session.id.parse()?,
                    device_id: Some(session.device.id.clone()),
                    ip: session.ip.clone(),
                    at: session.created_at,
                };
                enqueue(&mut conn, &told).await
            }
            SessionChange::Revoked { session, reason, at, .. } => {
                if *reason == Reason::Logout {
                    enqueue(&mut conn, &logged_out(session, *at)?).await?;
                }
                let told = SessionRevoked {
                    user_id: session.user_id.parse()?,
                    session_id: session.id.parse::<Uuid>()?,
                    device_id: Some(session.device.id.clone()),
                    reason: revoke_reason(*reason),
                    at: *at,
                };
                enqueue(&mut conn, &told).await?;
                let (user, session) = (session.user_id.clone(), session.id.clone());
                let _ = CAUSE.try_with(|cause| ended(cause).push(Ended { user, session, at: *at }));
                Ok(())
            }
            // Renewals are nobody else's business.
            _ => Ok(()),
        }
    }
}

/// The connection, to be lent more than once.
enum Held<'a> {
    Postgres(&'a mut db::PgConnection),
    Sqlite(&'a mut db::SqliteConnection),
}

async fn enqueue<P: Payload + Sync>(conn: &mut Held<'_>, payload: &P) -> Result<(), BoxError> {
    let origin = CAUSE.try_with(|cause| cause.origin.clone()).unwrap_or_else(|_| Origin::here());
    let event = origin.stamp(contracts::wrap(SOURCE, payload)?);
    let conn = match conn {
        Held::Postgres(conn) => db::Conn::Postgres(conn),
        Held::Sqlite(conn) => db::Conn::Sqlite(conn),
    };
    Ok(db::enqueue(conn, &event).await?)
}

fn logged_out(session: &SessionView, at: Timestamp) -> Result<LoggedOut, BoxError> {
    Ok(LoggedOut {
        user_id: session.user_id.parse()?,
        session_id: session.id.parse()?,
        device_id: Some(session.device.id.clone()),
        ip: session.ip.clone(),
        at,
    })
}

fn revoke_reason(reason: Reason) -> RevokeReason {
    match reason {
        Reason::Deleted => RevokeReason::Deleted,
        Reason::Expired => RevokeReason::Expired,
        Reason::Logout => RevokeReason::Logout,
        Reason::Others => RevokeReason::Others,
        Reason::Password => RevokeReason::Password,
        Reason::Reuse => RevokeReason::Reuse,
        Reason::Role => RevokeReason::Role,
        Reason::Suspended => RevokeReason::Suspended,
        // `revoked`, and whatever reason comes later: the session ended by someone's will.
        _ => RevokeReason::Revoked,
    }
}
