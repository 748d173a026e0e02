//! The demo accounts: made at start through the same code and events as any other, and never reset.

use std::time::Duration;

use chassis::Shell;
use chassis::origin::Origin;
use chassis::problem::{Code, Problem};
use contracts::Role;
use tramline_observability::lifecycle::Phase;
use tramline_session_sync::password::Passwords;

use crate::account::NewAccount;
use crate::store::Store;

/// By the contract; real accounts have their own.
const PASSWORD: &str = "TestPassword123!";

/// A database that is away is asked again after this.
const AGAIN: Duration = Duration::from_millis(500);

/// Seeds in the background, once the schema is there, until it has succeeded.
pub(crate) fn spawn(shell: &Shell, store: Store, passwords: Passwords) {
    let started = shell.clone();
    shell.lifecycle().spawn(Phase::Consumers, "demo-seed", move |stop| async move {
        if !started.started(&stop).await {
            return;
        }
        let seeding = async {
            while let Err(problem) = seed(&store, &passwords).await {
                tracing::warn!(detail = problem.detail(), "the demo accounts wait");
                tokio::time::sleep(AGAIN).await;
            }
        };
        stop.run_until_cancelled(seeding).await;
        // A task that is done still belongs to the life of the process: it ends with the drain.
        stop.cancelled().await;
    });
}

async fn seed(store: &Store, passwords: &Passwords) -> Result<(), Problem> {
    let [admin, vendor, customer] = contracts::DEMO_EMAILS;
    let accounts = [
        (admin, "Ada Admin", Role::Admin),
        (vendor, "Vera Vendor", Role::Vendor),
        (customer, "Carl Customer", Role::Customer),
    ];
    for (email, name, role) in accounts {
        let account = NewAccount::parse(email, name, PASSWORD.to_owned())?;
        match account.create(store, passwords, role, &Origin::here()).await {
            Ok(_) => tracing::info!(email, "made a demo account"),
            // There already: whatever has become of it since is its user's.
            Err(problem) if problem.code() == Code::EMAIL_TAKEN => {}
            Err(problem) => return Err(problem),
        }
    }
    Ok(())
}
