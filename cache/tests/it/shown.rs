//! What a reader sees of the examples is what is compiled.

/// Rustdoc hides a line that begins with `# `; everything else shows it, and who copies it has a line that is no Rust.
#[test]
fn examples_that_are_read_as_text_hide_nothing() {
    let texts = [include_str!("../../README.md"), include_str!("../../../docs/guides/caching.md")];
    let mut blocks = 0;
    for text in texts {
        let mut inside = false;
        for line in text.lines() {
            if line.starts_with("```") {
                inside = line.starts_with("```rust");
                blocks += usize::from(inside);
            }
            let hidden = line == "#" || line.starts_with("# ");
            assert!(!(inside && hidden), "{line}");
        }
    }
    assert!(blocks > 10, "{blocks}");
}
