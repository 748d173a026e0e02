//! The copy of the users: newer versions only, and a tombstone that nothing undoes.

use chassis::args;
use chassis::db::{DbError, Row, Tx};
use contracts::{UserChanged, UserDeleted, UserStatus};
use uuid::Uuid;

use super::Store;
use crate::domain::folded;
use crate::domain::order::Recipient as Wanted;

/// Someone who can be paid, as a search shows them.
#[derive(Clone, Debug)]
pub(crate) struct Recipient {
    pub(crate) id: Uuid,
    pub(crate) name: String,
    pub(crate) email: String,
}

/// A user as an access token names them.
#[derive(Clone, Debug)]
pub(crate) struct Party<'a> {
    pub(crate) id: Uuid,
    pub(crate) email: &'a str,
    pub(crate) name: &'a str,
}

/// A tombstone's version is the deletion's own, so that no late update is newer.
const UPSERT: &str = "INSERT INTO users (id, version, email, email_folded, name, name_folded, active, deleted) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
     ON CONFLICT (id) DO UPDATE SET version = excluded.version, email = excluded.email, \
         email_folded = excluded.email_folded, name = excluded.name, name_folded = excluded.name_folded, \
         active = excluded.active, deleted = excluded.deleted \
     WHERE users.version < excluded.version AND NOT users.deleted";

impl Store {
    /// Takes over a user as auth tells of them.
    pub(crate) async fn keep_user(tx: &mut Tx, user: &UserChanged) -> Result<(), DbError> {
        let active = user.status == UserStatus::Active;
        let email = user.email.trim();
        tx.execute(
            UPSERT,
            args![
                user.user_id,
                user.version,
                email,
                folded(email),
                &user.name,
                folded(&user.name),
                active,
                false
            ],
        )
        .await
        .map(drop)
    }

    /// Forgets a user, but not that there was one.
    pub(crate) async fn bury_user(tx: &mut Tx, user: &UserDeleted) -> Result<(), DbError> {
        tx.execute(UPSERT, args![user.user_id, user.version, "", "", "", "", false, true]).await.map(drop)
    }

    /// Makes sure that the sender is known: pay-after-register must not wait for the event.
    pub(crate) async fn meet(tx: &mut Tx, party: &Party<'_>) -> Result<(), DbError> {
        tx.execute(
            "INSERT INTO users (id, version, email, email_folded, name, name_folded, active, deleted) \
             VALUES ($1, 0, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING",
            args![party.id, party.email, folded(party.email), party.name, folded(party.name), true, false],
        )
        .await
        .map(drop)
    }

    /// The active user that an order names.
    pub(crate) async fn recipient(tx: &mut Tx, wanted: &Wanted) -> Result<Option<Recipient>, DbError> {
        let row = match wanted {
            Wanted::Email(email) => {
                tx.query_opt(
                    "SELECT id, name, email FROM users WHERE email_folded = $1 AND active AND NOT deleted",
                    args![email],
                )
                .await?
            }
            Wanted::Id(id) => {
                tx.query_opt(
                    "SELECT id, name, email FROM users WHERE id = $1 AND active AND NOT deleted",
                    args![*id],
                )
                .await?
            }
        };
        row.as_ref().map(recipient).transpose()
    }

    /// At most ten active users whose name or e-mail begins with `prefix`, without `except`.
    pub(crate) async fn recipients(&self, prefix: &str, except: Uuid) -> Result<Vec<Recipient>, DbError> {
        let from = folded(prefix);
        // Compared byte by byte, everything that begins with the prefix lies before the prefix and the last
        // character there is.
        let to = format!("{from}{}", char::MAX);
        let rows = self
            .db()
            .query(
                "SELECT id, name, email FROM users \
                 WHERE ((email_folded >= $1 AND email_folded < $2) OR (name_folded >= $1 AND name_folded < $2)) \
                     AND active AND NOT deleted AND id <> $3 \
                 ORDER BY name_folded, id LIMIT 10",
                args![&from, &to, except],
            )
            .await?;
        rows.iter().map(recipient).collect()
    }

    /// Whether the demo accounts have arrived.
    pub(crate) async fn knows_demo_accounts(&self) -> bool {
        let sql = "SELECT COUNT(*) AS known FROM users WHERE email_folded IN ($1, $2, $3) AND active";
        let [admin, vendor, customer] = contracts::DEMO_EMAILS;
        let row = self.db().query_one(sql, args![admin, vendor, customer]).await;
        row.and_then(|row| row.get::<i64>("known")).is_ok_and(|known| known == 3)
    }
}

fn recipient(row: &Row) -> Result<Recipient, DbError> {
    Ok(Recipient { id: row.get("id")?, name: row.get("name")?, email: row.get("email")? })
}
