//! A body that waits until it is wanted (RFC 9110, 10.1.1).

use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Sleep;

/// What a body waits at whose client waits for `100 Continue`.
///
/// It opens when the upstream asks for the body, or says nothing for a while: not all know what it is asked. When the
/// upstream has answered without asking, it stays shut, and the client, which hears of no `100` then, need not send.
pub(crate) struct Gate {
    asked: Asked,
    patience: Option<Pin<Box<Sleep>>>,
}

enum Asked {
    NotYet(oneshot::Receiver<()>),
    Yes,
    /// It was answered.
    Never,
}

/// Opens a [`Gate`].
pub(crate) struct Key(Mutex<Option<oneshot::Sender<()>>>);

// === impl Gate ===

impl Gate {
    /// A gate that also opens after `patience`. Once its key is gone, it does not.
    pub(crate) fn new(patience: Option<Duration>) -> (Self, Key) {
        let (key, asked) = oneshot::channel();
        let patience = patience.map(|patience| Box::pin(tokio::time::sleep(patience)));
        (Self { asked: Asked::NotYet(asked), patience }, Key(Mutex::new(Some(key))))
    }

    /// Ready when the body may go; never, if it is not wanted.
    pub(crate) fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.asked {
            Asked::Yes => return Poll::Ready(()),
            Asked::Never => return Poll::Pending,
            Asked::NotYet(asked) => match Pin::new(asked).poll(cx) {
                Poll::Ready(Ok(())) => self.asked = Asked::Yes,
                Poll::Ready(Err(_)) => {
                    self.asked = Asked::Never;
                    return Poll::Pending;
                }
                Poll::Pending => {
                    let Some(patience) = &mut self.patience else { return Poll::Pending };
                    ready!(patience.as_mut().poll(cx));
                    self.asked = Asked::Yes;
                }
            },
        }
        self.patience = None;
        Poll::Ready(())
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").finish_non_exhaustive()
    }
}

// === impl Key ===

impl Key {
    /// Any time after the first is nothing new.
    pub(crate) fn open(&self) {
        let key = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(key) = key {
            // The body may be gone: nobody waits then.
            let _ = key.send(());
        }
    }
}

#[cfg(test)]
mod tests;
