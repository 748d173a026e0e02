//! The events that this service handles: its copy of the users, and its own payments, for the sums.

use chassis::cache::Forget;
use chassis::db::{Db, DbError, Tx};
use contracts::{
    PAYMENTS_QUEUE, Payload, PaymentChanged, UserChanged, UserCreated, UserDeleted, UserUpdated,
};
use tramline_event_hub::{Context, Event, Outcome};

use crate::store::Store;

/// Handles one event with one effect.
pub(crate) async fn handle(db: Db, event: Event, _: Context) -> Outcome {
    match take(&db, &event).await {
        Ok(()) => Outcome::Ack,
        Err(Fault::Payload(error)) => Outcome::reject(&error),
        Err(Fault::Db(error)) => Outcome::retry(&error),
    }
}

enum Fault {
    /// It will not decode next time either.
    Payload(tramline_event_hub::Error),
    /// The database may be back next time.
    Db(DbError),
}

/// One transaction: the inbox mark and the effect.
async fn take(db: &Db, event: &Event) -> Result<(), Fault> {
    let mut tx = db.begin().await?;
    if tx.first_time(PAYMENTS_QUEUE, &event.id).await? {
        apply(&mut tx, event).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn apply(tx: &mut Tx, event: &Event) -> Result<(), Fault> {
    match event.event_type.as_str() {
        UserCreated::TYPE | UserUpdated::TYPE => Store::keep_user(tx, &event.data::<UserChanged>()?).await?,
        UserDeleted::TYPE => Store::bury_user(tx, &event.data()?).await?,
        other if other.starts_with("payments.payment.") => {
            Store::count(tx, &event.data::<PaymentChanged>()?).await?
        }
        // Sign-ins and whatever comes later: not ours.
        _ => {}
    }
    Ok(())
}

impl Forget for Store {
    /// Our own payments come by here, too: what a process that died after its commit did not forget is forgotten now.
    async fn forget(&self, event: &Event) {
        match event.event_type.as_str() {
            UserCreated::TYPE => {
                if let Ok(user) = event.data::<UserChanged>() {
                    self.forget_user(user.user_id).await;
                }
            }
            UserUpdated::TYPE => {
                if let Ok(user) = event.data::<UserChanged>() {
                    self.forget_name(user.user_id).await;
                }
            }
            UserDeleted::TYPE => {
                if let Ok(user) = event.data::<UserDeleted>() {
                    self.forget_name(user.user_id).await;
                }
            }
            other if other.starts_with("payments.payment.") => {
                if let Ok(payment) = event.data::<PaymentChanged>() {
                    self.forget_payment(payment.payment_id, [payment.sender_id, payment.recipient_id]).await;
                }
            }
            _ => {}
        }
    }
}

impl From<DbError> for Fault {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

impl From<tramline_event_hub::Error> for Fault {
    fn from(error: tramline_event_hub::Error) -> Self {
        Self::Payload(error)
    }
}
