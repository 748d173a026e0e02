//! A client of the system, as thin as curl.

use std::collections::BTreeMap;

use anyhow::Context;
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

/// By the contract.
pub(crate) const PASSWORD: &str = "TestPassword123!";
pub(crate) const ADMIN: &str = "admin@example.com";
pub(crate) const VENDOR: &str = "vendor@example.com";
pub(crate) const CUSTOMER: &str = "customer@example.com";

/// Someone with a session, or nobody.
#[derive(Clone)]
pub(crate) struct Api {
    client: Client,
    pub(crate) url: String,
    pub(crate) token: Option<String>,
    pub(crate) refresh_token: String,
    pub(crate) user_id: String,
    pub(crate) session_id: String,
}

/// An answer, read.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Value,
}

impl Api {
    pub(crate) fn nobody(url: &str) -> Self {
        Self {
            client: Client::builder().no_proxy().build().expect("a plain client"),
            url: url.to_owned(),
            token: None,
            refresh_token: String::new(),
            user_id: String::new(),
            session_id: String::new(),
        }
    }

    /// Signs in with a demo account.
    pub(crate) async fn sign_in(url: &str, email: &str) -> anyhow::Result<Self> {
        let body = json!({
            "email": email, "password": PASSWORD, "transport": "body",
            "device": { "id": uuid::Uuid::now_v7(), "name": "test", "kind": "program" },
        });
        Self::enter(url, "/api/auth/login", &body, StatusCode::OK).await
    }

    /// Makes an account, a customer's.
    pub(crate) async fn register(url: &str, email: &str) -> anyhow::Result<Self> {
        let body = json!({ "email": email, "password": PASSWORD, "name": email, "transport": "body" });
        Self::enter(url, "/api/auth/register", &body, StatusCode::CREATED).await
    }

    async fn enter(url: &str, path: &str, body: &Value, status: StatusCode) -> anyhow::Result<Self> {
        let mut api = Self::nobody(url);
        let grant = api.post(path, body).await?.expect(status)?;
        api.take(&grant)?;
        api.user_id = text(&grant, "/user/id")?;
        Ok(api)
    }

    pub(crate) fn take(&mut self, grant: &Value) -> anyhow::Result<()> {
        self.token = Some(text(grant, "/accessToken")?);
        self.refresh_token = text(grant, "/refreshToken")?;
        self.session_id = text(grant, "/session/id")?;
        Ok(())
    }

    pub(crate) async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.send(Method::GET, path, &[], None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        self.send(Method::POST, path, &[], Some(body)).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Answer> {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.with_context(|| path.to_owned())?;
        let status = response.status();
        let text = |value: &reqwest::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
        let headers =
            response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let bytes = response.bytes().await?;
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(Answer { status, headers, body })
    }

    /// Pays `amount` euros to an e-mail; gives the payment.
    pub(crate) async fn pay(&self, amount: &str, to: &str) -> anyhow::Result<Value> {
        let body = json!({
            "amount": amount, "currency": "EUR", "type": "instant", "recipientEmail": to, "description": "a test",
        });
        self.post("/api/payments", &body).await?.expect(StatusCode::CREATED)
    }

    /// The actions that the audit log has of a thing, newest first.
    pub(crate) async fn audited(&self, resource: &str) -> anyhow::Result<Vec<String>> {
        let path = format!("/api/admin/audit-logs?limit=100&resourceId={resource}");
        let list = self.get(&path).await?.expect(StatusCode::OK)?;
        let items = list["items"].as_array().context("a list")?;
        items.iter().map(|item| text(item, "/action")).collect()
    }
}

impl Answer {
    /// The body, if the status is this one.
    pub(crate) fn expect(self, status: StatusCode) -> anyhow::Result<Value> {
        anyhow::ensure!(self.status == status, "{} instead of {status}: {}", self.status, self.body);
        Ok(self.body)
    }

    /// Checks that it is this problem, whole as the contract wants it.
    pub(crate) fn expect_problem(self, status: u16, code: &str) -> anyhow::Result<Value> {
        anyhow::ensure!(self.status.as_u16() == status, "{} instead of {status}: {}", self.status, self.body);
        anyhow::ensure!(self.body["code"] == code, "{} instead of {code}", self.body);
        anyhow::ensure!(self.headers["content-type"] == "application/problem+json", "{:?}", self.headers);
        for field in ["type", "title", "detail", "instance", "requestId"] {
            anyhow::ensure!(self.body[field].is_string(), "no {field} in {}", self.body);
        }
        anyhow::ensure!(self.body["status"] == status, "{}", self.body);
        anyhow::ensure!(
            self.headers.get("x-request-id").map(String::as_str) == self.body["requestId"].as_str()
        );
        Ok(self.body)
    }
}

/// The text at a JSON pointer.
pub(crate) fn text(value: &Value, pointer: &str) -> anyhow::Result<String> {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .map(ToOwned::to_owned)
        .with_context(|| format!("{pointer} in {value}"))
}
