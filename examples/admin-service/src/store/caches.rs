//! The caches in front of what is read and does not change with every event. One answer is for all admins: nobody else
//! gets past the routes, and no answer depends on which admin asks.

use std::sync::Arc;
use std::time::Duration;

use chassis::db::DbError;
use contracts::{Role, UserStatus};
use tramline_cache::{Cache, CacheConfig, CacheKey, KeyParts, Policy};
use uuid::Uuid;

use super::dashboard::Figures;
use super::{Store, UserQuery, UserRow};

/// What is kept of what was read. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Caches {
    users: Cache<Uuid, UserRow>,
    lists: Cache<FirstPage, Vec<UserRow>>,
    figures: Cache<(), Figures>,
    actions: Cache<(), Vec<String>>,
}

/// Which first page of the users.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct FirstPage {
    role: Option<Role>,
    status: Option<UserStatus>,
    limit: i64,
}

/// What an event changes is forgotten; this only bounds what a forgetting that was lost can do.
const KEPT: Duration = Duration::from_secs(60);

// === impl Store ===

impl Store {
    /// One user.
    pub(crate) async fn user(&self, id: Uuid) -> Result<Option<Arc<UserRow>>, DbError> {
        let store = self.clone();
        let load = move || async move { store.load_user(id).await };
        self.caches.users.get_or_find(&id, load).await.map_err(DbError::foreign)
    }

    /// At most `limit` users, newest first. A first page that nothing is searched in comes from the cache.
    pub(crate) async fn users(&self, query: UserQuery, limit: i64) -> Result<Vec<UserRow>, DbError> {
        if query.search.is_some() || query.after.is_some() {
            return self.load_users(&query, limit).await;
        }
        let page = FirstPage { role: query.role, status: query.status, limit };
        let store = self.clone();
        let load = move || async move { store.load_users(&query, limit).await };
        let rows = self.caches.lists.get_or_load(&page, load).await.map_err(DbError::foreign)?;
        Ok(Vec::clone(&rows))
    }

    /// The sums of the dashboard.
    pub(super) async fn figures(&self) -> Result<Arc<Figures>, DbError> {
        let store = self.clone();
        let load = move || async move { store.load_figures().await };
        self.caches.figures.get_or_load(&(), load).await.map_err(DbError::foreign)
    }

    /// The actions that the log has, in the order of the alphabet.
    pub(crate) async fn actions(&self) -> Result<Arc<Vec<String>>, DbError> {
        let store = self.clone();
        let load = move || async move { store.load_actions().await };
        self.caches.actions.get_or_load(&(), load).await.map_err(DbError::foreign)
    }

    /// Forgets a user who was made, changed or deleted, all lists, and the figures.
    pub(crate) async fn forget_user(&self, id: Uuid) {
        let Caches { users, lists, .. } = &self.caches;
        tokio::join!(users.invalidate(&id), lists.invalidate_all(), self.forget_figures());
    }

    /// Forgets the figures.
    pub(crate) async fn forget_figures(&self) {
        self.caches.figures.invalidate(&()).await;
    }

    /// Forgets the actions unless this one is known to be among them: most events are of a kind that was there before.
    pub(crate) async fn forget_actions_without(&self, action: &str) {
        let actions = &self.caches.actions;
        if !actions.peek(&()).is_some_and(|known| known.iter().any(|known| known == action)) {
            actions.invalidate(&()).await;
        }
    }
}

// === impl Caches ===

impl Caches {
    pub(super) fn new(store: &tramline_cache::Store) -> Result<Self, tramline_cache::Error> {
        let config = |name| {
            let mut config = CacheConfig::new(name);
            config.policy = Policy::new(KEPT);
            config
        };
        Ok(Self {
            users: store.cache(config("admin-user"))?,
            lists: store.cache(config("admin-user-list"))?,
            figures: store.cache(config("admin-figures"))?,
            actions: store.cache(config("admin-actions"))?,
        })
    }
}

// === impl FirstPage ===

impl CacheKey for FirstPage {
    fn write(&self, parts: &mut KeyParts) {
        parts.push(self.role.map(Role::as_str));
        parts.push(self.status.map(UserStatus::as_str));
        parts.push(self.limit);
    }
}
