//! Accounts: what a new one must be, and how one is made, for requests, the demo seed and the first admin alike.

use chassis::origin::Origin;
use chassis::problem::{Code, Problem};
use chassis::validate::Faults;
use contracts::{Role, UserChanged, UserStatus};
use tramline_session_sync::password::{Passwords, check_rules};
use uuid::Uuid;

use crate::store::{self, Store};

/// The longest name of a person.
const NAME_CHARS: usize = 100;

/// An account asked for, checked.
#[derive(Clone)]
pub(crate) struct NewAccount {
    email: String,
    name: String,
    password: String,
}

impl NewAccount {
    /// Checks the rules; all faults are told at once.
    pub(crate) fn parse(email: &str, name: &str, password: String) -> Result<Self, Problem> {
        let mut faults = Faults::new();
        let email = faults.email("/email", email).to_owned();
        let name = self::name(&mut faults, name);
        faults.take("/password", check_rules(&password, &email));
        faults.finish()?;
        Ok(Self { email, name, password })
    }

    /// Makes the account: user, credentials and event in one transaction.
    ///
    /// # Errors
    ///
    /// 409 `EMAIL_TAKEN`; 503 when too many hashes are waiting.
    pub(crate) async fn create(
        self,
        store: &Store,
        passwords: &Passwords,
        role: Role,
        origin: &Origin,
    ) -> Result<UserChanged, Problem> {
        let taken = || Problem::conflict(Code::EMAIL_TAKEN, "this e-mail has an account");
        // Asked before the work of a hash; decided by the database.
        if store.by_email(&self.email).await?.is_some() {
            return Err(taken());
        }
        let phc = passwords.hash(&self.password).await.map_err(|error| busy(&error))?;
        let now = store::now();
        let user = UserChanged {
            user_id: Uuid::now_v7(),
            version: 1,
            email: self.email,
            name: self.name,
            role,
            status: UserStatus::Active,
            created_at: now,
            updated_at: now,
        };
        if store.create(&user, &phc, origin).await? { Ok(user) } else { Err(taken()) }
    }
}

/// A name, trimmed and checked.
pub(crate) fn name(faults: &mut Faults, name: &str) -> String {
    faults.text("/name", name, 1..=NAME_CHARS).to_owned()
}

/// What a password that could not be hashed or compared is answered with.
pub(crate) fn busy(error: &tramline_session_sync::Error) -> Problem {
    tracing::warn!(%error, "a password could not be hashed");
    Problem::unavailable("too many sign-ins at once")
}
