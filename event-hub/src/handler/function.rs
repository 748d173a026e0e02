//! Functions as handlers.

use std::future::Future;

use crate::handler::{BoxError, FromDelivery, Handler, IntoOutcome, Outcome, Received};

macro_rules! functions {
    ($(($($part:ident),*))*) => {$(
        impl<F, Fut, $($part,)*> Handler<($($part,)*)> for F
        where
            F: Fn($($part),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output: IntoOutcome> + Send,
            $($part: FromDelivery,)*
        {
            #[allow(unused_mut, unused_variables, reason = "one without parts takes nothing")]
            #[allow(non_snake_case, reason = "a part is called as its type parameter")]
            async fn handle(&self, received: Received) -> Result<Outcome, BoxError> {
                // The delivery need not wait for the handler's end.
                let handling = {
                    let mut received = received;
                    $(let $part = $part::from_delivery(&mut received)?;)*
                    self($($part),*)
                };
                handling.await.into_outcome()
            }
        }
    )*};
}

functions! { () (A) (A, B) (A, B, C) (A, B, C, D) }
