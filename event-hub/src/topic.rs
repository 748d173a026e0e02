//! Topic patterns: dotted words, `*` for exactly one, `#` for any number.

/// Whether a pattern matches a key.
///
/// ```
/// use tramline_event_hub::topic::matches;
/// assert!(matches("auth.user.*", "auth.user.created"));
/// assert!(matches("auth.#", "auth"));
/// assert!(!matches("auth.*", "auth.user.created"));
/// ```
#[must_use]
pub fn matches(pattern: &str, key: &str) -> bool {
    // Greedy with one step back, as for globs: linear but for patterns with several `#`.
    let pattern: Vec<&str> = words(pattern);
    let key: Vec<&str> = words(key);
    let (mut p, mut k) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    loop {
        match pattern.get(p) {
            Some(&"#") => {
                back = Some((p, k));
                p += 1;
                continue;
            }
            Some(&word) if k < key.len() && (word == "*" || word == key[k]) => {
                p += 1;
                k += 1;
                continue;
            }
            None if k == key.len() => return true,
            _ => {}
        }
        match back {
            Some((hash, from)) if from < key.len() => {
                back = Some((hash, from + 1));
                p = hash + 1;
                k = from + 1;
            }
            _ => return false,
        }
    }
}

fn words(text: &str) -> Vec<&str> {
    if text.is_empty() { Vec::new() } else { text.split('.').collect() }
}

#[cfg(test)]
mod tests;
