//! The life of one request.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tower_service::Service;
use tracing::{Instrument, Span};

use crate::answer::{Answer, Outcome};
use crate::cache::Cache;
use crate::error::{Error, ErrorKind};
use crate::layer::http_cache::answer::{Kind, Names};
use crate::layer::http_cache::ending::Ending;
use crate::layer::http_cache::key::MAX_VARY;
use crate::layer::http_cache::origin::{Failed, Load, Origin, Own, Pending, is_about_request};
use crate::layer::http_cache::question::{Question, Way};
use crate::layer::http_cache::{HttpAnswer, HttpCacheBody, HttpKey, Shared, respond};

type BoxError = Box<dyn StdError + Send + Sync>;

/// What a question to the cache came to.
enum Got<S, B, R, E> {
    Answer(Own<R, E>),
    /// It depends on these fields too.
    Varies(Names, Origin<S, B>),
    /// Somebody else's request failed, maybe by what is its own.
    Again(Origin<S, B>),
}

// === impl Shared ===

impl Shared {
    pub(super) async fn answer<S, B, R>(&self, origin: Origin<S, B>) -> Own<R, S::Error>
    where
        S: Service<Request<B>, Response = Response<R>> + Send + 'static,
        S::Future: Send,
        S::Error: Send + 'static,
        B: Body + Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let Origin { inner, request } = origin;
        let (mut head, body) = request.into_parts();
        let (question, tags) = if head.method.is_safe() {
            (self.question(&mut head, body.is_end_stream()), Vec::new())
        } else {
            (None, self.ended_by(&head))
        };
        let origin = Origin { inner, request: Request::from_parts(head, body) };
        let Some(question) = question else {
            let ending = Ending::new(self.cache.store(), tags);
            let answer = origin.pass().await;
            let refused = answer.as_ref().is_ok_and(|answer| answer.status().is_client_error());
            ending.answered(refused).await;
            return answer;
        };
        match question.way {
            Way::Own => Ok(respond::marked(origin.pass().await?, Outcome::Miss)),
            Way::Load => self.load(origin, &question).await,
            Way::OnlyStored | Way::Stored { .. } => {
                if let Some(response) = self.stored(origin.request.headers(), &question).await {
                    return Ok(response);
                }
                if question.way == Way::OnlyStored {
                    return Ok(respond::nothing_kept());
                }
                Ok(respond::marked(origin.pass().await?, Outcome::Miss))
            }
        }
    }

    /// What is kept, if it is fresh and young enough.
    async fn stored<R>(
        &self,
        headers: &HeaderMap,
        question: &Question,
    ) -> Option<Response<HttpCacheBody<R>>> {
        let mut key = question.key.clone();
        // Each turn adds a field, of which there are only so many.
        for _ in 0..=MAX_VARY {
            let answer = self.cache.stored(&key).await?;
            match &answer.value.as_deref()?.0 {
                Kind::Whole(whole) => {
                    let age = whole.age.saturating_add(answer.age);
                    if let Way::Stored { max_age: Some(max_age) } = question.way
                        && age.as_secs() > max_age
                    {
                        return None;
                    }
                    return Some(respond::whole(whole, answer.outcome, answer.age, &question.wanted));
                }
                Kind::Varies(Names(names)) => key = key.with_vary(names, headers)?,
                Kind::Other => return None,
            }
        }
        None
    }

    /// What is kept, or what the service answers to all who ask.
    async fn load<S, B, R>(&self, mut origin: Origin<S, B>, question: &Question) -> Own<R, S::Error>
    where
        S: Service<Request<B>, Response = Response<R>> + Send + 'static,
        S::Future: Send,
        S::Error: Send + 'static,
        B: Send + 'static,
        R: Body<Data = Bytes> + Send + 'static,
        R::Error: Into<BoxError>,
    {
        let mut key = question.key.clone();
        let (mut cache, mut again) = (None, false);
        let mut reason = "varies";
        // One more for who asks again.
        for _ in 0..=MAX_VARY + 1 {
            let names = match self.cache.peek(&key).as_deref() {
                // As good as it was when it was loaded: there is nothing to refresh.
                Some(HttpAnswer(Kind::Varies(names))) => names.clone(),
                _ => {
                    // A scope's own policy may want it anew while the cache's does not.
                    if question.scope.policy.is_none()
                        && let Some(response) = self.hit(&key, question)
                    {
                        return Ok(response);
                    }
                    if cache.is_none() {
                        cache = self.cache_for(question);
                    }
                    // It could not be ended.
                    let Some(cache) = cache.clone() else {
                        reason = "too_many_tags";
                        break;
                    };
                    match ask(self, cache, key.clone(), origin, question, again).await {
                        Got::Answer(answer) => return answer,
                        Got::Varies(names, back) => {
                            origin = back;
                            names
                        }
                        Got::Again(back) => {
                            (origin, again) = (back, true);
                            continue;
                        }
                    }
                }
            };
            match key.with_vary(&names.0, origin.request.headers()) {
                Some(longer) => key = longer,
                None => break,
            }
        }
        self.passes_by(reason);
        Ok(respond::marked(origin.pass().await?, Outcome::Miss))
    }

    fn hit<R>(&self, key: &HttpKey, question: &Question) -> Option<Response<HttpCacheBody<R>>> {
        let answer = self.cache.in_memory(key)?;
        match &answer.value.as_deref()?.0 {
            Kind::Whole(whole) => Some(respond::whole(whole, answer.outcome, answer.age, &question.wanted)),
            Kind::Varies(_) | Kind::Other => None,
        }
    }
}

/// Asks the cache, which asks the service when it has to; `again`: for the second time, and the last.
async fn ask<S, B, R>(
    shared: &Shared,
    cache: Cache<HttpKey, HttpAnswer>,
    key: HttpKey,
    origin: Origin<S, B>,
    question: &Question,
    again: bool,
) -> Got<S, B, R, S::Error>
where
    S: Service<Request<B>, Response = Response<R>> + Send + 'static,
    S::Future: Send,
    S::Error: Send + 'static,
    B: Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    let pending = Pending::new(origin);
    let (send, mut own) = oneshot::channel();
    let load = Load {
        cache: cache.clone(),
        key: key.clone(),
        audience: question.scope.audience.clone(),
        config: shared.config.clone(),
    };
    let (taken, span) = (pending.clone(), Span::current());
    let job = move || {
        async move {
            match taken.take() {
                Some(origin) => origin.load(load, send).await,
                None => Err(Failed::Lost),
            }
        }
        .instrument(span)
    };
    let begun = Instant::now();
    let answer = cache.answer(&key, job).await;
    let missed = |own: Own<R, S::Error>| Got::Answer(own.map(|own| respond::marked(own, Outcome::Miss)));
    let answer = match answer {
        Ok(Answer { value: Some(value), outcome, age, .. }) => match &value.0 {
            Kind::Whole(whole) => {
                // What is old stands in for failures, and not for what is wrong with the request.
                return match own.try_recv() {
                    Ok(Ok(own)) if is_about_request(own.status()) => missed(Ok(own)),
                    _ => Got::Answer(Ok(respond::whole(whole, outcome, age, &question.wanted))),
                };
            }
            kind => {
                if let Ok(own) = own.try_recv() {
                    return missed(own);
                }
                match (kind, pending.take()) {
                    (Kind::Varies(names), Some(origin)) => return Got::Varies(names.clone(), origin),
                    (_, Some(origin)) => return missed(origin.pass().await),
                    // The load has it, behind our back, and its answer is on its way: to us, or into memory.
                    (_, None) => match own.await {
                        Ok(own) => Ok(own),
                        Err(_) => match shared.hit(&key, question) {
                            Some(kept) => return Got::Answer(Ok(kept)),
                            None => Err(lost()),
                        },
                    },
                }
            }
        },
        Ok(_) => Err(lost()),
        Err(error) => own.try_recv().map_err(|_| error),
    };
    match answer {
        Ok(own) => missed(own),
        Err(error) => match (error.load::<Failed>(), pending.take()) {
            // Who waited out most of its time does not wait for as long again.
            (_, Some(origin))
                if !again
                    && (error.kind() != ErrorKind::TimedOut
                        || begun.elapsed() < cache.policy().hard_timeout / 2) =>
            {
                Got::Again(origin)
            }
            (Some(Failed::Other | Failed::Refused), Some(origin)) => missed(origin.pass().await),
            (Some(Failed::Answered(whole)), _) => {
                let answer = respond::whole(whole, Outcome::Miss, Duration::ZERO, &question.wanted);
                Got::Answer(Ok(answer))
            }
            _ => Got::Answer(Ok(respond::failed(error))),
        },
    }
}

/// The runtime shuts down.
fn lost() -> Error {
    Error::new(ErrorKind::Load, "the answer was lost")
}
