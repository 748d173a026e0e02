//! Loads without their types.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::future::Future;

use futures_util::future::BoxFuture;

use crate::error::{Error, ErrorKind};
use crate::key::CacheKey;
use crate::loaded::Loaded;

/// A load, whatever its types were: none is that there is nothing.
pub(super) type Job<V> = Box<dyn FnOnce() -> BoxFuture<'static, Result<Option<Loaded<V>>, Error>> + Send>;

/// A load of many, whatever its types were.
pub(super) type Batch<K, V> =
    Box<dyn FnOnce(Vec<K>) -> BoxFuture<'static, Result<HashMap<K, Loaded<V>>, Error>> + Send>;

pub(super) fn job<V, F, Fut, R, E>(load: F, found: fn(R) -> Option<Loaded<V>>) -> Job<V>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<R, E>> + Send + 'static,
    E: Into<Box<dyn StdError + Send + Sync>>,
    R: 'static,
    V: 'static,
{
    Box::new(move || {
        // The closure itself may panic too, so it runs inside.
        Box::pin(async move {
            match load().await {
                Ok(answer) => Ok(found(answer)),
                Err(error) => Err(Error::with_source(ErrorKind::Load, "", error)),
            }
        })
    })
}

pub(super) fn batch<K, V, F, Fut, L, E>(load: F) -> Batch<K, V>
where
    K: CacheKey,
    V: 'static,
    F: FnOnce(Vec<K>) -> Fut + Send + 'static,
    Fut: Future<Output = Result<HashMap<K, L>, E>> + Send + 'static,
    L: Into<Loaded<V>> + 'static,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    Box::new(move |keys| {
        // The closure itself may panic too, so it runs inside.
        Box::pin(async move {
            match load(keys).await {
                Ok(loaded) => Ok(loaded.into_iter().map(|(key, loaded)| (key, loaded.into())).collect()),
                Err(error) => Err(Error::with_source(ErrorKind::Load, "", error)),
            }
        })
    })
}
