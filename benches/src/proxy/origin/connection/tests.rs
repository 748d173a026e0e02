//! Tests of [`Connection`], on a socket whose other end is read here.

use std::net::TcpListener;

use super::*;
use crate::proxy::answer;
use crate::proxy::request;

/// A connection, and its other end, which blocks.
fn pair() -> (Connection, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (Connection::new(listener.accept().unwrap().0).unwrap(), client)
}

/// Gives the connection what has arrived, until it has taken a request and answered it.
fn answered(connection: &mut Connection, client: &mut TcpStream, pieces: &[&str]) -> Vec<u8> {
    let mut buffer = vec![0; 4096];
    for piece in pieces {
        client.write_all(piece.as_bytes()).unwrap();
        // Blocking, for once: it is there when this returns.
        connection.stream.set_nonblocking(false).unwrap();
        let read = connection.stream.read(&mut buffer).unwrap();
        connection.stream.set_nonblocking(true).unwrap();
        connection.take(&buffer[..read]).unwrap();
    }
    assert_eq!(connection.wants(), Wants::Write, "no answer to {pieces:?}");
    connection.send(&buffer).unwrap();
    assert_eq!(connection.wants(), Wants::Read);
    answer::whole(client).unwrap()
}

#[test]
fn it_answers_one_request_after_the_other() {
    let (mut connection, mut client) = pair();
    let small = request::get(SMALL_PATH);
    assert_eq!(answered(&mut connection, &mut client, &[&small]).len(), SMALL);
    let (first, second) = small.split_at(30);
    assert_eq!(answered(&mut connection, &mut client, &[first, second]).len(), SMALL);
    let echo = request::get("/echo");
    assert_eq!(answered(&mut connection, &mut client, &[&echo]), echo.as_bytes());
    assert_eq!(answered(&mut connection, &mut client, &[&request::get("/down/3000")]).len(), 3000);
    let post = request::post("/up", 6);
    assert_eq!(answered(&mut connection, &mut client, &[&post, "abc", "def"]), b"6");
    assert_eq!(answered(&mut connection, &mut client, &[&small]).len(), SMALL);
}

#[test]
fn what_it_does_not_know_ends_it() {
    for request in [request::get("/elsewhere"), request::post(SMALL_PATH, 3), request::post("/up", 1) + "abc"]
    {
        let (mut connection, _client) = pair();
        assert!(connection.request(request.as_bytes()).is_err(), "{request}");
    }
}
