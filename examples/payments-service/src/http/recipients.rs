//! `GET /api/payments/recipients`.

use axum::extract::State as Shared;
use chassis::auth::User;
use chassis::extract::Query;
use chassis::page::Page;
use chassis::problem::Problem;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::State;

/// Fewer characters would list everybody, letter by letter.
const QUERY_CHARS: usize = 3;

#[derive(Debug, Deserialize)]
pub(crate) struct Search {
    query: String,
}

/// Someone who can be paid; enough of the e-mail to tell two of a name apart.
#[derive(Debug, Serialize)]
pub(crate) struct RecipientView {
    id: Uuid,
    name: String,
    email: String,
}

pub(crate) async fn recipients(
    user: User,
    Shared(state): Shared<State>,
    Query(search): Query<Search>,
) -> Result<Page<RecipientView>, Problem> {
    let query = search.query.trim();
    if query.chars().count() < QUERY_CHARS {
        return Err(Problem::invalid("?query", "must have at least 3 characters"));
    }
    let found = state.store.recipients(query, user.id).await?;
    let view = |r: crate::store::Recipient| RecipientView { id: r.id, name: r.name, email: masked(&r.email) };
    Ok(Page::whole(found.into_iter().map(view).collect()))
}

/// `vendor@example.com` as `v***@example.com`.
fn masked(email: &str) -> String {
    let Some((local, domain)) = email.rsplit_once('@') else { return "***".to_owned() };
    let first: String = local.chars().take(1).collect();
    format!("{first}***@{domain}")
}

#[cfg(test)]
mod tests {
    use super::masked;

    #[test]
    fn an_email_shows_its_first_letter_and_domain() {
        assert_eq!(masked("vendor@example.com"), "v***@example.com");
        assert_eq!(masked("ä@b.c"), "ä***@b.c");
        assert_eq!(masked("nothing"), "***");
    }
}
