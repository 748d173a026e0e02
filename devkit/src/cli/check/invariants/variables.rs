//! Every variable that a process of the system reads stands in `docs/configuration.md`.

use std::path::Path;

use super::Place;

/// Where they stand.
pub(super) const PAGE: &str = "docs/configuration.md";

/// The variables that `text` names and `page` does not, if it is a file that reads them.
pub(super) fn findings(path: &Path, text: &str, place: Place, page: &str) -> Vec<String> {
    if place != Place::Example || !reads_variables(path) {
        return Vec::new();
    }
    let missing = |name: &&str| is_variable(name) && !page.contains(&format!("`{name}`"));
    // Every second piece between quotes is a text; an escaped quote only makes a name that is none.
    let mut names: Vec<_> = text.split('"').skip(1).step_by(2).filter(missing).collect();
    names.sort_unstable();
    names.dedup();
    names.into_iter().map(|name| format!("{}: {name} is not in {PAGE}", path.display())).collect()
}

/// `config.rs`, what is below `config/`, and `stack`'s `options.rs`; not their tests.
fn reads_variables(path: &Path) -> bool {
    let has = |wanted: &[&str]| {
        path.iter()
            .filter_map(|part| part.to_str())
            .any(|part| wanted.contains(&part.trim_end_matches(".rs")))
    };
    has(&["config", "options"]) && !has(&["tests"])
}

/// Words in capitals; one alone is a placeholder in a help text, but for `PORT`.
fn is_variable(text: &str) -> bool {
    (text.contains('_') || text == "PORT")
        && text.starts_with(|first: char| first.is_ascii_uppercase())
        && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}
