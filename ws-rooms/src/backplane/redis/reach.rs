//! How far a failure reaches: to one command, or to the connection that it came on.

use ::redis::{ErrorKind, RedisError};

/// What a failure is about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Reach {
    /// This command alone: its key, its room, or the memory that it asks for. Others are answered.
    Command,
    /// This answer was late. Whether the connection is gone, the next renewal finds out.
    Answer,
    /// The connection, or the server at its other end: whoever answers next may do better.
    Connection,
}

/// What a script's error names when the server is the trouble. Before Redis 7 it comes as `ERR` with the rest as text.
const OF_THE_SERVER: [&str; 6] = ["READONLY", "NOSCRIPT", "LOADING", "MASTERDOWN", "MISCONF", "CLUSTERDOWN"];

// === impl Reach ===

impl Reach {
    pub(super) fn of(error: &RedisError) -> Self {
        if error.is_timeout() {
            return Self::Answer;
        }
        // An answer that is none of ours: somebody else's value under our key.
        if matches!(error.kind(), ErrorKind::Parse | ErrorKind::UnexpectedReturnType) {
            return Self::Command;
        }
        let detail = error.detail().unwrap_or_default();
        match error.code() {
            Some("ERR" | "NOPERM" | "OOM" | "WRONGTYPE")
                if !OF_THE_SERVER.iter().any(|word| detail.contains(word)) =>
            {
                Self::Command
            }
            _ => Self::Connection,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// As the driver reads them from the wire.
    fn answered(line: &str) -> RedisError {
        let value = ::redis::parse_redis_value(line.as_bytes()).unwrap();
        value.extract_error().unwrap_err()
    }

    #[test]
    fn what_the_server_answers_reaches_as_far_as_it_says() {
        for (line, reach) in [
            ("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", Reach::Command),
            ("-NOPERM No permissions to access a key script: 1, on @user_script:1.\r\n", Reach::Command),
            ("-OOM command not allowed when used memory > 'maxmemory'.\r\n", Reach::Command),
            (
                "-ERR Error running script (call to f_1): @user_script:3: WRONGTYPE Operation\r\n",
                Reach::Command,
            ),
            ("-ERR Error running script (call to f_1): -READONLY You can't write\r\n", Reach::Connection),
            ("-READONLY You can't write against a read only replica.\r\n", Reach::Connection),
            ("-NOSCRIPT No matching script.\r\n", Reach::Connection),
            ("-LOADING Redis is loading the dataset in memory\r\n", Reach::Connection),
            ("-NOAUTH Authentication required.\r\n", Reach::Connection),
            ("-MISCONF Redis is configured to save RDB snapshots\r\n", Reach::Connection),
            ("-WHATEVER comes later\r\n", Reach::Connection),
        ] {
            assert_eq!(Reach::of(&answered(line)), reach, "{line}");
        }
    }

    #[test]
    fn late_is_not_gone() {
        assert_eq!(Reach::of(&io::Error::from(io::ErrorKind::TimedOut).into()), Reach::Answer);
        for gone in [io::ErrorKind::ConnectionReset, io::ErrorKind::BrokenPipe] {
            assert_eq!(Reach::of(&io::Error::from(gone).into()), Reach::Connection);
        }
        let strange = RedisError::from((ErrorKind::UnexpectedReturnType, "not a reading of a room"));
        assert_eq!(Reach::of(&strange), Reach::Command);
    }
}
