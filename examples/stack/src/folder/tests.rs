//! Tests of [`Folder`].

use super::*;

/// A folder of our own making is its owner's alone, and so are the secrets in it; a secret is drawn once.
#[cfg(unix)]
#[test]
fn only_the_owner_reads_what_is_kept() {
    use std::os::unix::fs::PermissionsExt;
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("data");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

    let drawn = {
        let folder = Folder::open(Some(&path)).unwrap();
        folder.key_file().unwrap();
        folder.webhook_secret().unwrap()
    };
    assert_eq!(mode(&path), 0o700);
    assert_eq!(mode(&path.join("psp-webhook.secret")), 0o600);
    assert_eq!(mode(&path.join("jwt.key")), 0o600);

    // What a killed process left half-written is no secret.
    fs::write(path.join("psp-webhook.draft"), "half").unwrap();
    let again = Folder::open(Some(&path)).unwrap();
    assert_eq!(again.webhook_secret().unwrap().expose(), drawn.expose());
    assert!(drawn.expose().len() >= 32);
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let place = tempfile::tempdir().unwrap();
    let first = Folder::open(Some(place.path())).unwrap();
    let error = Folder::open(Some(place.path())).unwrap_err();
    assert!(error.to_string().starts_with("another process has"), "{error}");
    drop(first);
    Folder::open(Some(place.path())).unwrap();
}
