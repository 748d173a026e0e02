//! A server for the browser package's tests: three nodes in one process, the package's own files, and a link that can be
//! cut and silenced.
//!
//! ```sh
//! cargo run -p tramline-ws-rooms --example bed --features client,test-support -- FOLDER
//! ```
//!
//! Prints one line of JSON: `page`, where the files of FOLDER and `/ws` are, behind the link; `control`, where `POST`
//! asks for what this program does, beside it. `/ws?node=1` names a node; without it the first one answers. Tokens are
//! user ids, but for `expired`, `forbidden` and `away`, which are refused. Ends when its standard input does.

#![allow(clippy::print_stdout, reason = "a program for the command line")]

mod bed {
    pub(crate) mod control;
    pub(crate) mod nodes;
    pub(crate) mod pages;
}

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use devkit::Fault;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use self::bed::control::control;
use self::bed::nodes::Nodes;
use self::bed::pages::page;

type Answer = Response<Full<Bytes>>;

/// Everything that the two listeners share.
struct Bed {
    nodes: Nodes,
    link: Fault,
    files: PathBuf,
}

#[tokio::main]
async fn main() {
    let files = std::env::args_os().nth(1).map(PathBuf::from).expect("usage: bed FOLDER");
    let pages = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let controls = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let link = Fault::new(pages.local_addr().expect("it is bound")).await.expect("a free port");
    let page_url = format!("http://{}", link.addr());
    let control_url = format!("http://{}", controls.local_addr().expect("it is bound"));
    println!("{}", json!({"page": page_url, "control": control_url}));
    let bed = Arc::new(Bed { nodes: Nodes::new(page_url), link, files });
    let shared = Arc::clone(&bed);
    tokio::spawn(serve(pages, move |request, from| {
        let bed = Arc::clone(&shared);
        async move { page(&bed, request, from).await }
    }));
    tokio::spawn(serve(controls, move |request, _| {
        let bed = Arc::clone(&bed);
        async move { control(&bed, request).await }
    }));
    // Whoever started us is gone, however that came.
    let mut rest = Vec::new();
    let _ = tokio::io::stdin().read_to_end(&mut rest).await;
}

async fn serve<F>(
    listener: TcpListener,
    answer: impl Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + 'static,
) where
    F: Future<Output = Answer> + Send + 'static,
{
    loop {
        let Ok((stream, from)) = listener.accept().await else { continue };
        let answer = answer.clone();
        let service = service_fn(move |request| {
            let answer = answer(request, from);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let http = hyper::server::conn::http1::Builder::new();
        tokio::spawn(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
    }
}
