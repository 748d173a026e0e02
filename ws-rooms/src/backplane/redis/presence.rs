//! Who is in rooms, over all nodes.
//!
//! What Redis has of a node is a copy of what the node counts itself: what changed is written, and written again after a
//! failure, so that nothing is lost in between. A node has a lease; when it ends, another node takes back what the
//! node had. A node that finds its own lease ended writes all it has under a new name.

mod attendance;
mod burial;
mod keeper;
pub(super) mod scripts;
mod sweep;

pub(super) use self::attendance::Attendance;
pub(super) use self::keeper::Keeper;
