//! The shell that the five processes of the reference system share.
//!
//! A service is its own routes, rules and statements; what it has in common with the others is here: configuration,
//! problem answers, extractors, pages, databases, tokens, events, and the life of a process. A service is
//! `build(Config, Deps) -> Service`; its `main` hands real engines to it, `stack` and the tests embedded ones:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use axum::Router;
//! use axum::extract::State;
//! use axum::routing::{get, post};
//! use chassis::auth::{self, User};
//! use chassis::config::{Common, ConfigError, DatabaseUrl, Process, Vars};
//! use chassis::db::{Db, Migration};
//! use chassis::extract::{Json, Path};
//! use chassis::origin::Origin;
//! use chassis::problem::Problem;
//! use chassis::{Service, Shell, args};
//! use tramline_event_hub::{Context, Event, Outcome};
//! use uuid::Uuid;
//!
//! // In a service: `&[chassis::migration!("0001_init")]`, which reads `migrations/{postgres,sqlite}/0001_init.sql`.
//! const MIGRATIONS: &[Migration] = &[Migration::new(
//!     "0001_init",
//!     "CREATE TABLE notes (id UUID PRIMARY KEY, owner UUID NOT NULL, text TEXT NOT NULL)",
//!     "CREATE TABLE notes (id TEXT PRIMARY KEY, owner TEXT NOT NULL, text TEXT NOT NULL)",
//! )];
//!
//! fn main() -> ExitCode {
//!     chassis::run(&Process::profile(), std::env::args().skip(1), std::env::vars(), configure, |url, shell| {
//!         let db = Db::open("PROFILE_DATABASE_URL", url.expose(), &shell.db_config())?;
//!         build(shell, &db)
//!     })
//! }
//!
//! fn configure(vars: &Vars, _: &Common) -> Result<DatabaseUrl, ConfigError> {
//!     vars.require("PROFILE_DATABASE_URL")
//! }
//!
//! fn build(shell: &Shell, db: &Db) -> Result<Service, ConfigError> {
//!     shell.database(db, MIGRATIONS);
//!     shell.auth()?;
//!     let store = db.clone();
//!     shell.consume(contracts::PROFILE_QUEUE, Shell::consumer_config("profile"), move |event: Event, _: Context| {
//!         let db = store.clone();
//!         async move {
//!             match forget(&db, &event).await {
//!                 Ok(()) => Outcome::Ack,
//!                 Err(error) => Outcome::retry(&error),
//!             }
//!         }
//!     });
//!     let router = Router::new()
//!         .route("/api/notes/{id}", get(read).delete(auth::not_implemented))
//!         .route("/api/notes", post(write))
//!         .with_state(db.clone());
//!     Ok(shell.service(router))
//! }
//!
//! async fn read(State(db): State<Db>, user: User, Path(id): Path<Uuid>) -> Result<String, Problem> {
//!     let sql = "SELECT text FROM notes WHERE id = $1 AND owner = $2";
//!     let row = db.query_opt(sql, args![id, user.id]).await?.ok_or_else(Problem::not_found)?;
//!     Ok(row.get("text")?)
//! }
//!
//! async fn write(State(db): State<Db>, user: User, origin: Origin, Json(text): Json<String>) -> Result<String, Problem> {
//!     let fields = vec!["notes".to_owned()];
//!     let told = contracts::ProfileUpdated { user_id: user.id, fields, at: jiff::Timestamp::now() };
//!     let event = origin.stamp(contracts::wrap("/profile-service", &told).map_err(|_| Problem::internal())?);
//!     let id = Uuid::now_v7();
//!     let mut tx = db.begin().await?;
//!     tx.execute("INSERT INTO notes (id, owner, text) VALUES ($1, $2, $3)", args![id, user.id, &text]).await?;
//!     tx.enqueue(&event).await?;
//!     tx.commit().await?;
//!     Ok(id.to_string())
//! }
//!
//! async fn forget(db: &Db, event: &Event) -> Result<(), chassis::db::DbError> {
//!     let mut tx = db.begin().await?;
//!     if tx.first_time("profile", &event.id).await? {
//!         tx.execute("DELETE FROM notes WHERE owner = $1", args![Uuid::nil()]).await?;
//!     }
//!     tx.commit().await
//! }
//! ```

pub mod auth;
pub mod cache;
pub mod client_addr;
pub mod config;
pub mod db;
pub mod extract;
pub mod http_client;
pub mod origin;
pub mod page;
pub mod problem;
pub mod request_id;
pub mod revocations;
pub mod run;
pub mod service;
pub mod shell;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod validate;

pub use crate::run::run;
pub use crate::service::Service;
pub use crate::shell::Shell;
