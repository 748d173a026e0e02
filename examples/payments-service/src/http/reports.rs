//! `GET /api/payments/reports`.

use std::fmt;
use std::str::FromStr;

use axum::extract::{FromRequestParts, State as Shared};
use axum::response::IntoResponse;
use chassis::auth::User;
use chassis::cache::server_timing;
use chassis::extract::Query;
use chassis::page::{Page, PageRequest};
use chassis::problem::Problem;
use chassis::validate::Faults;
use contracts::{Amount, PaymentStatus, PaymentType, Role};
use http::request::Parts;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::State;
use crate::domain::{self, SCALED_DIGITS};
use crate::store::{DailySum, ReportQuery};

/// How many days a report has when nobody says from when on: a month's.
const USUAL_DAYS: i32 = 30;

/// The most days of a report: a year's, a leap day among them.
const MOST_DAYS: i32 = 366;

/// An extractor: a vendor, who sees their own sums, or an admin, who sees everyone's. Others are refused before
/// anything is said about their parameters.
#[derive(Debug)]
pub(crate) struct Reader(User);

/// The filters of a report.
#[derive(Debug, Deserialize)]
pub(crate) struct Filter {
    from: Option<Moment>,
    to: Option<Moment>,
    currency: Option<String>,
    status: Option<PaymentStatus>,
    #[serde(rename = "type")]
    payment_type: Option<PaymentType>,
}

/// A time in UTC; a day stands for its first moment.
#[derive(Clone, Copy, Debug)]
struct Moment(DateTime);

/// A text that is no [`Moment`].
struct NoMoment;

/// The payments of one currency and type that entered one state on one day.
#[derive(Debug, Serialize)]
pub(crate) struct SumView {
    day: Date,
    currency: String,
    status: PaymentStatus,
    #[serde(rename = "type")]
    payment_type: PaymentType,
    payments: i64,
    amount: String,
}

pub(crate) async fn reports(
    Reader(user): Reader,
    Shared(state): Shared<State>,
    Query(filter): Query<Filter>,
    page: PageRequest,
) -> Result<impl IntoResponse, Problem> {
    let of = (!user.is_admin()).then_some(user.id);
    let name = format!("reports {of:?} {filter:?}");
    let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
    let query = filter.parse(of, today)?;
    let after = page.after(&name)?;
    let (sums, outcome) = state.store.report((user.id, user.role), query, after, page.fetch()).await?;
    let page = Page::new(&page, &name, sums, DailySum::position).map(SumView::from);
    Ok((outcome.map(server_timing), page))
}

// === impl Reader ===

impl<S: Sync> FromRequestParts<S> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let user = User::from_request_parts(parts, state).await?;
        user.require(&[Role::Vendor, Role::Admin])?;
        Ok(Self(user))
    }
}

// === impl Filter ===

impl Filter {
    /// A report is of whole days: those that have a part between `from` and `to`.
    fn parse(self, of: Option<Uuid>, today: Date) -> Result<ReportQuery, Problem> {
        let to = self.to.map_or(today, Moment::last_day_before).saturating_add(1.day());
        let from = self.from.map_or_else(|| to.saturating_sub(USUAL_DAYS.days()), Moment::day);
        let mut faults = Faults::new();
        if let Some(currency) = &self.currency {
            faults.check(domain::digits(currency).is_some(), "?currency", "is no currency of ISO 4217");
        }
        let days = (to - from).get_days();
        if self.to.is_some() {
            faults.check(days > 0, "?to", "must be after from");
        } else {
            faults.check(days > 0, "?from", "must not be after today when there is no to");
        }
        faults.check(days <= MOST_DAYS, "?from", format!("must be at most {MOST_DAYS} days before to"));
        faults.finish()?;
        let Self { currency, status, payment_type, .. } = self;
        Ok(ReportQuery { of, from, to, currency, status, payment_type })
    }
}

// === impl Moment ===

impl Moment {
    fn day(self) -> Date {
        self.0.date()
    }

    /// The last day of which a part lies before this moment.
    fn last_day_before(self) -> Date {
        self.0.saturating_sub(1.nanosecond()).date()
    }
}

impl FromStr for Moment {
    type Err = NoMoment;

    fn from_str(text: &str) -> Result<Self, NoMoment> {
        if let Ok(time) = text.parse::<Timestamp>() {
            return Ok(Self(TimeZone::UTC.to_datetime(time)));
        }
        // A time without its zone would parse as a day, too.
        let day = Some(text).filter(|text| text.len() == "2026-03-01".len());
        day.and_then(|day| day.parse::<Date>().ok()).map(|day| Self(day.into())).ok_or(NoMoment)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for NoMoment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("must be a day such as 2026-03-01, or a time with its zone such as 2026-03-01T12:00:00Z")
    }
}

// === impl SumView ===

impl From<DailySum> for SumView {
    fn from(sum: DailySum) -> Self {
        let DailySum { day, currency, status, payment_type, payments, minor } = sum;
        let digits = domain::digits(&currency).unwrap_or(SCALED_DIGITS);
        let amount = Amount::from_minor(minor, digits).to_string();
        Self { day, currency, status, payment_type, payments, amount }
    }
}
