//! `auth-service create-admin --email … [--name …]`, the password on standard input: how the first admin is made.

use std::io::BufRead;
use std::process::ExitCode;

use chassis::config::{ConfigError, Vars};
use chassis::db::{Db, DbConfig};
use chassis::origin::Origin;
use contracts::Role;
use tramline_session_sync::password::{PasswordConfig, Passwords};

use crate::account::NewAccount;
use crate::config::{self, DATABASE_URL};
use crate::store::{self, Store};

/// Makes an admin in the database that `AUTH_DATABASE_URL` names; its event goes out with the running service's
/// relay. Exits 0, 64 for a wrong configuration, 1 for anything else.
pub fn create_admin(args: &[String], vars: impl IntoIterator<Item = (String, String)>) -> ExitCode {
    let vars = Vars::new(vars);
    let (url, email, name) = match config::database_url(&vars)
        .and_then(|url| Ok((url, option(args, "--email")?, option(args, "--name")?)))
    {
        Ok((url, Some(email), name)) => (url, email, name.unwrap_or_else(|| "Admin".to_owned())),
        Ok((_, None, _)) => return chassis::run::wrong_config("auth", &ConfigError::missing("--email")),
        Err(error) => return chassis::run::wrong_config("auth", &error),
    };
    let mut password = String::new();
    if std::io::stdin().lock().read_line(&mut password).is_err() {
        return fail("the password cannot be read from standard input");
    }
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    chassis::run::install_crypto();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.to_string()),
    };
    match runtime.block_on(create(url.expose(), &email, &name, password)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => fail(&text),
    }
}

async fn create(url: &str, email: &str, name: &str, password: String) -> Result<(), String> {
    let account = NewAccount::parse(email, name, password).map_err(|problem| {
        problem.errors().iter().map(|e| format!("{} {}", e.pointer, e.detail)).collect::<Vec<_>>().join("; ")
    })?;
    let db = Db::open(DATABASE_URL, url, &DbConfig::default()).map_err(|error| error.to_string())?;
    db.migrate(store::MIGRATIONS).await.map_err(|error| error.to_string())?;
    let passwords = Passwords::new(&PasswordConfig::default());
    let made = account.create(&Store::new(db.clone()), &passwords, Role::Admin, &Origin::here()).await;
    db.close().await;
    made.map(drop).map_err(|problem| problem.detail().to_owned())
}

fn option(args: &[String], name: &str) -> Result<Option<String>, ConfigError> {
    let Some(at) = args.iter().position(|arg| arg == name) else { return Ok(None) };
    args.get(at + 1).cloned().map(Some).ok_or_else(|| ConfigError::missing(name))
}

#[expect(clippy::print_stderr, reason = "a command's own words")]
fn fail(text: &str) -> ExitCode {
    eprintln!("auth: {text}");
    ExitCode::FAILURE
}
