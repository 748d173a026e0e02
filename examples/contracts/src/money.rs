//! Money: integers of minor units inside, a decimal string at the edge.

use std::fmt;

/// The largest amount of one payment, in whole units of its currency.
pub(crate) const LARGEST_WHOLE: i64 = 10_000_000;

/// An amount of money: minor units, and how many digits of them make a whole.
///
/// Amounts of different currencies are never added; this type does not know its currency, only
/// its digits (0 for JPY, 2 for EUR, 3 for KWD).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Amount {
    /// The amount in minor units.
    pub minor: i64,
    /// The digits after the point, ISO 4217's exponent.
    pub digits: u32,
}

/// Why a text is no amount.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum InvalidAmount {
    /// Not digits with at most one point.
    NotDecimal,
    /// More digits after the point than the currency has.
    TooManyDigits,
    /// Zero, negative, or more than 10,000,000.
    OutOfRange,
}

// === impl Amount ===

impl Amount {
    /// An amount read back from where only valid ones are stored.
    #[must_use]
    pub const fn from_minor(minor: i64, digits: u32) -> Self {
        Self { minor, digits }
    }

    /// Parses a payment's amount: a decimal string above zero, at most 10,000,000, with at most
    /// the currency's digits.
    ///
    /// # Errors
    ///
    /// What is wrong with the text; nothing is rounded.
    pub fn parse(text: &str, digits: u32) -> Result<Self, InvalidAmount> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || text.ends_with('.') {
            return Err(InvalidAmount::NotDecimal);
        }
        let places = u32::try_from(fraction.len()).map_err(|_| InvalidAmount::TooManyDigits)?;
        if places > digits {
            return Err(InvalidAmount::TooManyDigits);
        }
        let unit = 10_i64.checked_pow(digits).ok_or(InvalidAmount::TooManyDigits)?;
        let scaled = format!("{whole}{fraction}{}", "0".repeat((digits - places) as usize));
        let minor: i64 = scaled.parse().map_err(|_| InvalidAmount::OutOfRange)?;
        if minor == 0 || minor > LARGEST_WHOLE * unit {
            return Err(InvalidAmount::OutOfRange);
        }
        Ok(Self { minor, digits })
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.minor < 0 { "-" } else { "" };
        let digits = self.digits as usize;
        let text = format!("{:0>width$}", self.minor.unsigned_abs(), width = digits + 1);
        let (whole, fraction) = text.split_at(text.len() - digits);
        if fraction.is_empty() { write!(f, "{sign}{whole}") } else { write!(f, "{sign}{whole}.{fraction}") }
    }
}

// === impl InvalidAmount ===

impl fmt::Display for InvalidAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotDecimal => "must be a decimal number such as \"12.50\"",
            Self::TooManyDigits => "has more decimal places than the currency",
            Self::OutOfRange => "must be above 0 and at most 10000000",
        })
    }
}

impl std::error::Error for InvalidAmount {}

#[cfg(test)]
mod tests;
