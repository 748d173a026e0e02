//! `auth-service create-admin --email … [--name …]`, the password on standard input: how the first admin is made.

use std::io::{BufRead, Read};
use std::process::ExitCode;

use chassis::config::{ConfigError, Vars};
use chassis::db::{Db, DbConfig};
use chassis::origin::Origin;
use contracts::Role;
use tramline_session_sync::password::{PasswordConfig, Passwords};

use crate::account::NewAccount;
use crate::config::{self, DATABASE_URL};
use crate::store::{self, Store};

/// More than a password of 255 characters has bytes.
const LONGEST_LINE: u64 = 4_096;

/// Makes an admin in the database that `AUTH_DATABASE_URL` names; its event goes out with the running service's
/// relay. Exits 0, 64 for a wrong configuration, 1 for anything else.
pub fn create_admin(args: &[String], vars: impl IntoIterator<Item = (String, String)>) -> ExitCode {
    let vars = Vars::new(vars);
    let parsed = Arguments::parse(args).and_then(|args| Ok((args, config::database_url(&vars)?)));
    let (Arguments { email, name }, url) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return chassis::run::wrong_config("auth", &error),
    };
    let mut password = String::new();
    if std::io::stdin().lock().take(LONGEST_LINE).read_line(&mut password).is_err() {
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
    // It reads nobody twice, and nobody had them before: there is nothing to tell the others.
    let cache = tramline_cache::Store::memory(tramline_cache::StoreConfig::default());
    let store = Store::new(db.clone(), &cache).map_err(|error| error.to_string())?;
    let made = account.create(&store, &passwords, Role::Admin, &Origin::here()).await;
    db.close().await;
    made.map(drop).map_err(|problem| problem.detail().to_owned())
}

/// What stands after `create-admin`.
struct Arguments {
    email: String,
    name: String,
}

impl Arguments {
    fn parse(args: &[String]) -> Result<Self, ConfigError> {
        let (mut email, mut name) = (None, None);
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let value = match arg.as_str() {
                "--email" => &mut email,
                "--name" => &mut name,
                _ => return Err(ConfigError::new(arg, "is no option; there are --email and --name")),
            };
            *value = Some(args.next().cloned().ok_or_else(|| ConfigError::missing(arg))?);
        }
        let email = email.ok_or_else(|| ConfigError::missing("--email"))?;
        Ok(Self { email, name: name.unwrap_or_else(|| "Admin".to_owned()) })
    }
}

#[expect(clippy::print_stderr, reason = "a command's own words")]
fn fail(text: &str) -> ExitCode {
    eprintln!("auth: {text}");
    ExitCode::FAILURE
}
