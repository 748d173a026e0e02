//! A member in the backplane's count, where the answer may take its time.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use crate::error::{Error, ErrorKind};
use crate::node::Node;
use crate::protocol::RoomId;

/// How far the count of one member is.
///
/// ORDER: whichever of «counted» and «left» comes second tells the backplane that the member leaves, so a leave never
/// overtakes its join, whoever waits for either.
#[derive(Default)]
pub(super) struct Count {
    state: Mutex<State>,
}

#[derive(Default, Eq, PartialEq)]
enum State {
    /// The backplane has not answered.
    #[default]
    Asked,
    Made,
    /// The member has left, at once or while the answer was awaited.
    Left,
}

// === impl Count ===

impl Count {
    /// Has the backplane count a member.
    ///
    /// # Cancel safety
    ///
    /// When dropped the question goes on, on a task of its own: nobody could tell what a driver has done of one that
    /// is cut short.
    pub(super) async fn make(self: Arc<Self>, node: &Arc<Node>, room: &RoomId) -> Result<(), Error> {
        let (node, room) = (Arc::clone(node), room.clone());
        let mut asking: Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> = Box::pin(async move {
            let lane = node.lane(&room);
            lane.join(&room).await?;
            if self.becomes(State::Made) == State::Left {
                lane.leave(&room);
            }
            Ok(())
        });
        // Most drivers know at once in most cases, which costs no task.
        let first = std::future::poll_fn(|cx| Poll::Ready(asking.as_mut().poll(cx))).await;
        match first {
            Poll::Ready(made) => made,
            Poll::Pending => match tokio::spawn(asking).await {
                Ok(made) => made,
                Err(failed) => Err(Error::with(ErrorKind::Backplane, failed)),
            },
        }
    }

    /// The member leaves, whatever has become of its count.
    pub(super) fn leave(&self, node: &Node, room: &RoomId) {
        if self.becomes(State::Left) == State::Made {
            node.lane(room).leave(room);
        }
    }

    /// Says what it was.
    fn becomes(&self, state: State) -> State {
        std::mem::replace(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner), state)
    }
}
