//! The variables of a process.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The exit code of a process whose configuration is wrong: `EX_USAGE` of sysexits.
pub const EXIT_CONFIG: u8 = 64;

/// The variables that a process was started with. An empty value counts as absent.
#[derive(Clone, Default)]
pub struct Vars(BTreeMap<String, String>);

/// A variable that is missing where it is needed, or does not parse.
///
/// Its text is one line that begins with the variable's name. It never repeats the value, which may
/// be a secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError {
    variable: String,
    fault: String,
}

// === impl Vars ===

impl Vars {
    /// Takes pairs of name and value, such as `std::env::vars()`.
    pub fn new<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect())
    }

    /// The text of a variable, when it is there and not empty.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|v| v.trim()).filter(|v| !v.is_empty())
    }

    /// The value of a variable, when it is there.
    ///
    /// # Errors
    ///
    /// When it does not parse.
    pub fn get<T>(&self, name: &str) -> Result<Option<T>, ConfigError>
    where
        T: FromStr<Err: fmt::Display>,
    {
        self.parse(name, |text| text.parse::<T>())
    }

    /// The value of a variable, or `default`.
    ///
    /// # Errors
    ///
    /// When it does not parse.
    pub fn get_or<T>(&self, name: &str, default: T) -> Result<T, ConfigError>
    where
        T: FromStr<Err: fmt::Display>,
    {
        Ok(self.get(name)?.unwrap_or(default))
    }

    /// The value of a variable that has to be there.
    ///
    /// # Errors
    ///
    /// When it is missing or does not parse.
    pub fn require<T>(&self, name: &str) -> Result<T, ConfigError>
    where
        T: FromStr<Err: fmt::Display>,
    {
        self.get(name)?.ok_or_else(|| ConfigError::missing(name))
    }

    /// The value of a variable as `parse` reads it.
    ///
    /// # Errors
    ///
    /// When `parse` refuses it.
    pub fn parse<T, E: fmt::Display>(
        &self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Result<Option<T>, ConfigError> {
        self.text(name).map(parse).transpose().map_err(|e| ConfigError::new(name, e))
    }

    /// The values of a variable that holds several, separated by commas; none when it is absent.
    ///
    /// # Errors
    ///
    /// When one of them does not parse.
    pub fn list<T>(&self, name: &str) -> Result<Option<Vec<T>>, ConfigError>
    where
        T: FromStr<Err: fmt::Display>,
    {
        self.parse(name, |text| {
            text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::parse).collect()
        })
    }

    /// A duration: `500ms`, `10s`, `2m`, or a number of seconds.
    ///
    /// # Errors
    ///
    /// When it is none of these.
    pub fn duration_or(&self, name: &str, default: Duration) -> Result<Duration, ConfigError> {
        Ok(self.parse(name, parse_duration)?.unwrap_or(default))
    }
}

fn parse_duration(text: &str) -> Result<Duration, &'static str> {
    const FAULT: &str = "is no duration such as 500ms, 10s or 2m";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| FAULT)?;
    match unit.trim() {
        "ms" => Ok(Duration::from_millis(number)),
        "" | "s" => Ok(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs).ok_or(FAULT),
        _ => Err(FAULT),
    }
}

impl fmt::Debug for Vars {
    // The names only: any value may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

// === impl ConfigError ===

impl ConfigError {
    /// An error about `variable`; `fault` must not repeat its value.
    pub fn new(variable: impl Into<String>, fault: impl fmt::Display) -> Self {
        // One line, whatever the fault's text is.
        let fault = fault.to_string().replace(['\n', '\r'], " ");
        Self { variable: variable.into(), fault }
    }

    /// The error of a variable that is missing.
    pub fn missing(variable: impl Into<String>) -> Self {
        Self::new(variable, "is missing")
    }

    /// The variable.
    #[must_use]
    pub fn variable(&self) -> &str {
        &self.variable
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.variable, self.fault)
    }
}

impl std::error::Error for ConfigError {}
