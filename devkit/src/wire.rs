//! Just enough of each protocol to ask a server whether it is there.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time;

/// Longer than a healthy server on loopback needs, short enough to ask again.
const PATIENCE: Duration = Duration::from_secs(2);

/// Sends `greeting`; the answer must begin with `expected`.
pub(crate) async fn answers(addr: SocketAddr, greeting: &[u8], expected: &[u8]) -> bool {
    let ask = async {
        let mut socket = TcpStream::connect(addr).await.ok()?;
        socket.write_all(greeting).await.ok()?;
        let mut answer = vec![0; expected.len()];
        socket.read_exact(&mut answer).await.ok()?;
        Some(answer == expected)
    };
    matches!(time::timeout(PATIENCE, ask).await, Ok(Some(true)))
}

/// Whether a GET of `path` is answered with 200.
pub(crate) async fn http_ok(addr: SocketAddr, path: &str) -> bool {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n\r\n");
    answers(addr, request.as_bytes(), b"HTTP/1.1 200").await
}

/// Runs one SQL text on a PostgreSQL that trusts us, and waits for its end.
pub(crate) async fn postgres(addr: SocketAddr, user: &str, database: &str, sql: &str) -> anyhow::Result<()> {
    let mut socket = TcpStream::connect(addr).await?;
    let mut hello = 196_608_u32.to_be_bytes().to_vec(); // protocol 3.0
    for text in ["user", user, "database", database, ""] {
        hello.extend_from_slice(text.as_bytes());
        hello.push(0);
    }
    socket.write_all(&framed(None, &hello)?).await?;
    until_ready(&mut socket).await?;
    let mut query = sql.as_bytes().to_vec();
    query.push(0);
    socket.write_all(&framed(Some(b'Q'), &query)?).await?;
    until_ready(&mut socket).await?;
    socket.write_all(&framed(Some(b'X'), &[])?).await?;
    Ok(())
}

fn framed(kind: Option<u8>, body: &[u8]) -> anyhow::Result<Vec<u8>> {
    let length = u32::try_from(body.len() + 4)?;
    let mut frame: Vec<u8> = kind.into_iter().collect();
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(body);
    Ok(frame)
}

/// Reads messages up to `ReadyForQuery`. An error message is kept until then.
async fn until_ready(socket: &mut TcpStream) -> anyhow::Result<()> {
    let mut failure = None;
    loop {
        let kind = match socket.read_u8().await {
            Ok(kind) => kind,
            Err(error) => bail!(failure.unwrap_or_else(|| error.to_string())),
        };
        let length = socket.read_u32().await?;
        let length = usize::try_from(length)?.checked_sub(4).context("a message without its length")?;
        ensure!(length <= 1 << 20, "a message of {length} bytes");
        let mut body = vec![0; length];
        socket.read_exact(&mut body).await?;
        match kind {
            b'Z' => return failure.map_or(Ok(()), |text| bail!(text)),
            b'E' => failure = Some(String::from_utf8_lossy(&body).replace('\0', " ")),
            b'R' if body.get(..4) != Some(&[0; 4]) => {
                bail!("the server wants a password: let it trust loopback")
            }
            _ => {}
        }
    }
}
