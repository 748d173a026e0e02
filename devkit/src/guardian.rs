//! Ends what this process started when the process ends without saying goodbye.
//!
//! Destructors do not run for statics, on `std::process::exit`, or when the process is killed. So
//! one small shell reads a pipe whose other end only we hold: each line adds or removes something
//! to clean up, and the end of the pipe, which no kind of death can prevent, starts the clean-up.

use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Lines it reads: `+group N`, `-group N`, `+folder PATH`, `-folder PATH`.
///
/// It ignores the signals of a terminal, since it is wanted most when they arrive. Folders are
/// removed twice: a server that was just killed may still have been writing.
const SCRIPT: &str = r#"
trap '' INT TERM HUP QUIT
groups= folders=
while read -r verb what; do
  case $verb in
    +group) groups="$groups $what" ;;
    -group) left=; for one in $groups; do [ "$one" = "$what" ] || left="$left $one"; done; groups=$left ;;
    +folder) folders="$folders$what
" ;;
    -folder) left=; while read -r one; do [ -z "$one" ] || [ "$one" = "$what" ] || left="$left$one
"; done <<END
$folders
END
      folders=$left ;;
  esac
done
for one in $groups; do kill -s KILL -- "-$one"; done
sweep() { while read -r one; do [ -z "$one" ] || rm -rf -- "$one"; done <<END
$folders
END
}
sweep
[ -z "$folders" ] || { sleep 1; sweep; }
"#;

/// Global, as the thing it guards is: the process.
static GUARDIAN: Mutex<Option<Guardian>> = Mutex::new(None);

struct Guardian {
    /// The only writing end; closed by the death of this process.
    pipe: ChildStdin,
    _shell: Child,
}

/// Has the process group killed when this process ends.
pub(crate) fn watch_group(leader: u32) -> io::Result<()> {
    tell(&format!("+group {leader}\n"))
}

/// The process group is gone.
pub(crate) fn forget_group(leader: u32) {
    // Failing means that the guardian is gone, and then there is nothing to forget.
    let _ = tell(&format!("-group {leader}\n"));
}

/// Has the folder removed when this process ends.
pub(crate) fn watch_folder(path: &Path) -> io::Result<()> {
    tell(&format!("+folder {}\n", path.display()))
}

/// The folder is gone.
pub(crate) fn forget_folder(path: &Path) {
    let _ = tell(&format!("-folder {}\n", path.display()));
}

fn tell(line: &str) -> io::Result<()> {
    let mut slot = GUARDIAN.lock().unwrap_or_else(PoisonError::into_inner);
    let guardian = match &mut *slot {
        Some(guardian) => guardian,
        empty => empty.insert(Guardian::start()?),
    };
    guardian.pipe.write_all(line.as_bytes())
}

// === impl Guardian ===

impl Guardian {
    fn start() -> io::Result<Self> {
        let mut shell = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "devkit-guardian"])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A group of its own: Ctrl-C and a kill of our group must not reach it.
            .process_group(0)
            .spawn()?;
        let pipe = shell.stdin.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { pipe, _shell: shell })
    }
}
