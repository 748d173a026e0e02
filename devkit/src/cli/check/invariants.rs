//! The rules of `docs/architecture.md` that a program can check.

mod dependencies;
mod source;
mod variables;

use std::path::{Path, PathBuf};

use serde_json::Value;

use self::source::{Place, SourceFile};
use crate::cli::workspace::LIBRARIES;

/// Folders that are not ours, or not sources.
const PASSED_OVER: [&str; 4] = ["target", "node_modules", "dist", "data"];

/// Every broken rule, as `file:line: what`.
pub(super) fn findings(root: &Path, metadata: &Value) -> Vec<String> {
    let mut findings = dependencies::findings(metadata);
    let page = std::fs::read_to_string(root.join(variables::PAGE)).unwrap_or_default();
    for path in rust_files(root) {
        let Ok(text) = std::fs::read_to_string(root.join(&path)) else {
            findings.push(format!("{}: cannot be read", path.display()));
            continue;
        };
        let file = SourceFile::new(&path, &text, place(&path));
        findings.extend(file.findings());
        findings.extend(variables::findings(&path, &text, place(&path), &page));
    }
    findings
}

fn place(path: &Path) -> Place {
    let first = path.components().next().and_then(|first| first.as_os_str().to_str());
    match first {
        Some(first) if LIBRARIES.contains(&first) => Place::Library,
        Some("examples") => Place::Example,
        _ => Place::Tool,
    }
}

/// All of them, relative to `root`, in order.
fn rust_files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if !name.starts_with('.') && !PASSED_OVER.contains(&name.as_str()) {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && let Ok(relative) = path.strip_prefix(root)
            {
                found.push(relative.to_owned());
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests;
