//! Bytes from one socket to another, without a look at them: what the kernel takes from everybody.

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::TcpStream;

/// As much as the others read at once.
const BUFFER: usize = 64 * 1024;

fn main() -> anyhow::Result<()> {
    bare::run(
        |args| args.upstream,
        async |mut client, _, upstream| {
            let Ok(mut origin) = TcpStream::connect(upstream).await else { return };
            if origin.set_nodelay(true).is_ok() {
                // Its end is the client's.
                let _ = copy_bidirectional_with_sizes(&mut client, &mut origin, BUFFER, BUFFER).await;
            }
        },
    )
}
