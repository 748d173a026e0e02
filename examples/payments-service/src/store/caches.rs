//! The caches in front of what is read: payments by their ids, and the first pages of lists and reports.
//!
//! Who may see a payment is decided at each request, by the payment that is answered; nothing of that is kept. What a
//! write begins with is read from the database.

use std::sync::Arc;
use std::time::Duration;

use chassis::db::DbError;
use contracts::{PaymentStatus, PaymentType, Role};
use serde::{Deserialize, Serialize};
use tramline_cache::{Answer, Cache, CacheConfig, CacheKey, KeyParts, Loaded, Outcome, Policy, Tag};
use uuid::Uuid;

use super::reports::SumPosition;
use super::{DailySum, ListOrder, ListQuery, ReportQuery, Shown, Sort, Store, Transaction};

/// What is kept of what was read. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Caches {
    store: tramline_cache::Store,
    payments: Cache<Uuid, Detail>,
    lists: Cache<FirstPage, Vec<Shown>>,
    reports: Cache<FirstSums, Vec<DailySum>>,
}

/// A payment with all that is shown of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Detail {
    pub(crate) shown: Shown,
    pub(crate) transactions: Vec<Transaction>,
}

/// Which first page, and whose.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct FirstPage {
    user: Uuid,
    role: Role,
    status: Option<PaymentStatus>,
    payment_type: Option<PaymentType>,
    currency: Option<String>,
    sort: Sort,
    order: ListOrder,
    limit: i64,
}

/// Which first sums of a report, and whose.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct FirstSums {
    user: Uuid,
    role: Role,
    query: ReportQuery,
    limit: i64,
}

/// What is written is forgotten; this only bounds what a forgetting that was lost can do.
const KEPT: Duration = Duration::from_secs(60);

// === impl Store ===

impl Store {
    /// The payment with its states, from the cache if it is there.
    pub(crate) async fn detail(&self, id: Uuid) -> Result<Answer<Detail>, DbError> {
        let store = self.clone();
        let load = move || async move { store.load(id).await };
        self.caches.payments.answer(&id, load).await.map_err(DbError::foreign)
    }

    /// [`list`](Self::list) for a user of this role: a first page comes from the cache if it is there. No outcome: the
    /// cache was not asked.
    pub(crate) async fn list_for(
        &self,
        (user, role): (Uuid, Role),
        query: ListQuery,
        limit: i64,
    ) -> Result<(Vec<Shown>, Option<Outcome>), DbError> {
        let Some(page) = FirstPage::of(user, role, &query, limit) else {
            return Ok((self.list(&query, limit).await?, None));
        };
        let (store, tag) = (self.clone(), lists_of(query.of.as_ref()));
        let load = move || async move {
            let rows = store.list(&query, limit).await?;
            Ok::<_, DbError>(Some(Loaded::new(rows).with_tags([tag])))
        };
        let answer = self.caches.lists.answer(&page, load).await.map_err(DbError::foreign)?;
        Ok(rows(answer))
    }

    /// [`sums`](Self::sums) for a user of this role: the first ones come from the cache if they are there. No outcome:
    /// the cache was not asked.
    pub(crate) async fn report(
        &self,
        (user, role): (Uuid, Role),
        query: ReportQuery,
        after: Option<SumPosition>,
        limit: i64,
    ) -> Result<(Vec<DailySum>, Option<Outcome>), DbError> {
        if after.is_some() {
            return Ok((self.sums(&query, after.as_ref(), limit).await?, None));
        }
        let (store, tag) = (self.clone(), lists_of(query.of.as_ref()));
        let first = FirstSums { user, role, query: query.clone(), limit };
        let load = move || async move {
            let sums = store.sums(&query, None, limit).await?;
            Ok::<_, DbError>(Some(Loaded::new(sums).with_tags([tag])))
        };
        let answer = self.caches.reports.answer(&first, load).await.map_err(DbError::foreign)?;
        Ok(rows(answer))
    }

    /// Forgets a payment that was made or changed, the lists that it is in, and the reports that it is or will be counted
    /// in: their sums change with its event, after which this is called again.
    pub(crate) async fn forget_payment(&self, id: Uuid, [sender, recipient]: [Uuid; 2]) {
        let Caches { store, payments, .. } = &self.caches;
        let lists = [Some(&sender), Some(&recipient), None].map(lists_of);
        tokio::join!(payments.invalidate(&id), store.invalidate_tags(&lists));
    }

    /// Forgets the payments of a user of whom the copy is new. Lists need not be: they have no user in them whom the
    /// copy did not know, and one that a token made known has the token's name, which is no older.
    pub(crate) async fn forget_user(&self, user: Uuid) {
        self.caches.store.invalidate_tag(&party(&user)).await;
    }

    /// Forgets everything with the name of a user that has another one now: who has them in a list is not known, and
    /// people are seldom renamed.
    pub(crate) async fn forget_name(&self, user: Uuid) {
        tokio::join!(self.forget_user(user), self.caches.lists.invalidate_all());
    }

    async fn load(&self, id: Uuid) -> Result<Option<Loaded<Detail>>, DbError> {
        let Some(shown) = self.find(id).await? else { return Ok(None) };
        let tags = shown.payment.parties().map(|user| party(&user));
        let transactions = self.transactions(id).await?;
        Ok(Some(Loaded::new(Detail { shown, transactions }).with_tags(tags)))
    }
}

// === impl Caches ===

impl Caches {
    pub(super) fn new(store: tramline_cache::Store) -> Result<Self, tramline_cache::Error> {
        let config = |name| {
            let mut config = CacheConfig::new(name);
            config.policy = Policy::new(KEPT);
            config
        };
        let (payments, lists) = (store.cache(config("payment"))?, store.cache(config("payment-list"))?);
        let reports = store.cache(config("payment-report"))?;
        Ok(Self { store, payments, lists, reports })
    }
}

// === impl FirstPage ===

impl FirstPage {
    /// None for what hardly anybody asks for twice: a page further on, and bounds of time or amount.
    fn of(user: Uuid, role: Role, query: &ListQuery, limit: i64) -> Option<Self> {
        let ListQuery { of: _, status, payment_type, currency, from, to, min_amount, max_amount, .. } = query;
        let bounded = from.is_some() || to.is_some() || min_amount.is_some() || max_amount.is_some();
        (!bounded && query.after.is_none()).then(|| Self {
            user,
            role,
            status: *status,
            payment_type: *payment_type,
            currency: currency.clone(),
            sort: query.sort,
            order: query.order,
            limit,
        })
    }
}

impl CacheKey for FirstPage {
    fn write(&self, parts: &mut KeyParts) {
        parts.push(self.user);
        parts.push(self.role.as_str());
        parts.push(self.status.map(PaymentStatus::as_str));
        parts.push(self.payment_type.map(PaymentType::as_str));
        parts.push(self.currency.as_deref());
        parts.push(self.sort.as_str());
        parts.push(self.order.as_str());
        parts.push(self.limit);
    }
}

impl CacheKey for FirstSums {
    fn write(&self, parts: &mut KeyParts) {
        let Self { user, role, query, limit } = self;
        // Whose the sums are follows from who asks.
        let ReportQuery { of: _, from, to, currency, status, payment_type } = query;
        parts.push(user);
        parts.push(role.as_str());
        parts.push(from.to_string());
        parts.push(to.to_string());
        parts.push(currency.as_deref());
        parts.push(status.map(PaymentStatus::as_str));
        parts.push(payment_type.map(PaymentType::as_str));
        parts.push(limit);
    }
}

/// What shows this user's name, and is by a payment's id.
fn party(user: &Uuid) -> Tag {
    Tag::new("party", user)
}

/// The lists and reports of this user's own payments, or of everyone's, which are the admins'.
fn lists_of(user: Option<&Uuid>) -> Tag {
    user.map_or_else(|| Tag::of("payments-of-all"), |user| Tag::new("payments-of", user))
}

/// The rows of an answer, and where they came from.
fn rows<T: Clone>(answer: Answer<Vec<T>>) -> (Vec<T>, Option<Outcome>) {
    (answer.value.map(Arc::unwrap_or_clone).unwrap_or_default(), Some(answer.outcome))
}
