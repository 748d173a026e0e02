//! The rules for a new password.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Why a new password is not accepted.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordFault {
    /// It is on the list of passwords that everybody tries first.
    #[error("this password is too common")]
    Common,
    /// It is the e-mail address.
    #[error("the password must not be the e-mail address")]
    Email,
    /// It has more than 255 characters.
    #[error("a password has at most 255 characters")]
    TooLong,
    /// It has fewer than 12 characters.
    #[error("a password has at least 12 characters")]
    TooShort,
}

/// Checks a new password against the rules: 12 to 255 characters, not the e-mail, not common.
///
/// # Errors
///
/// The rule that it breaks.
pub fn check_rules(password: &str, email: &str) -> Result<(), PasswordFault> {
    let length = password.chars().count();
    if length < MIN_LENGTH {
        return Err(PasswordFault::TooShort);
    }
    if length > MAX_LENGTH {
        return Err(PasswordFault::TooLong);
    }
    if password.to_lowercase() == email.to_lowercase() {
        return Err(PasswordFault::Email);
    }
    if COMMON.contains(password) {
        return Err(PasswordFault::Common);
    }
    Ok(())
}

/// Below this, guessing offline is cheap whatever the hash.
const MIN_LENGTH: usize = 12;
/// A sentence fits; a novel would only cost time.
const MAX_LENGTH: usize = 255;

/// Compared exactly: a variation is another password.
static COMMON: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("common.txt").lines().filter(|line| !line.is_empty()).collect());

#[cfg(test)]
mod tests;
