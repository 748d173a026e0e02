//! The configurations of nginx and HAProxy: the header work that all do, connections to the origin kept, no logs.

use std::fmt::Write as _;
use std::net::SocketAddr;

use nix::unistd;

use crate::cli::bench::proxy::rows::Front;

/// As many idle connections as all of the others keep.
const MAX_IDLE: u32 = 64;

/// nginx, with its files in `folder` and certificate and key in `keys`.
pub(super) fn nginx(
    folder: &str,
    (listen, origin): (SocketAddr, SocketAddr),
    (workers, connections): (u16, u32),
    (front, keys): (Front, &str),
) -> String {
    // As root its workers would be `nobody`, who cannot reach our folder.
    let user = if unistd::geteuid().is_root() { "user root;\n" } else { "" };
    let mut text = format!(
        "{user}daemon off;\nworker_processes {workers};\npid {folder}/nginx.pid;\n\
         error_log {folder}/error.log error;\n\
         events {{\n  worker_connections {connections};\n}}\nhttp {{\n  access_log off;\n  tcp_nodelay on;\n"
    );
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(text, "  {kind}_temp_path {folder}/{kind};");
    }
    let (ssl, tls) = if front.is_tls() {
        let tls = format!(
            "    ssl_certificate {keys}/cert.pem;\n    ssl_certificate_key {keys}/key.pem;\n\
             \x20   ssl_protocols TLSv1.3;\n"
        );
        (" ssl", tls)
    } else {
        ("", String::new())
    };
    let http2 = if front.is_http2() { " http2" } else { "" };
    let _ = write!(
        text,
        "  keepalive_timeout 600s;\n  keepalive_requests 1000000000;\n  client_max_body_size 0;\n\
         \x20 upstream origin {{\n    server {origin};\n    keepalive {MAX_IDLE};\n\
         \x20   keepalive_requests 1000000000;\n    keepalive_timeout 600s;\n  }}\n\
         \x20 server {{\n    listen {listen}{ssl}{http2} backlog=4096;\n{tls}    location / {{\n\
         \x20     proxy_pass http://origin;\n      proxy_http_version 1.1;\n\
         \x20     proxy_set_header Connection \"\";\n      proxy_set_header Host $http_host;\n\
         \x20     proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;\n\
         \x20     proxy_set_header X-Forwarded-Proto $scheme;\n\
         \x20     proxy_set_header X-Forwarded-Host $http_host;\n    }}\n  }}\n}}\n"
    );
    text
}

/// HAProxy, with certificate and key in `keys`. It wants two files for each connection and refuses to start without: an
/// ordinary user may have less, and those to the origin are few.
pub(super) fn haproxy(
    (listen, origin): (SocketAddr, SocketAddr),
    (threads, connections): (u16, u32),
    (front, keys): (Front, &str),
) -> String {
    let ssl = format!(" ssl crt {keys}/both.pem ssl-min-ver TLSv1.3");
    let (proto, bind) = match front {
        Front::Http1 => ("http", String::new()),
        Front::Http2 => ("http", " proto h2".to_owned()),
        Front::Tls => ("https", ssl),
        Front::TlsHttp2 => ("https", ssl + " alpn h2"),
    };
    format!(
        "global\n  nbthread {threads}\n  maxconn {connections}\n  no strict-limits\n\
         defaults\n  mode http\n  timeout connect 5s\n  timeout client 600s\n  timeout server 600s\n\
         \x20 timeout http-keep-alive 600s\n  http-reuse always\n  option forwardfor\n\
         frontend front\n  bind {listen}{bind} backlog 4096\n\
         \x20 http-request set-header X-Forwarded-Proto {proto}\n\
         \x20 http-request set-header X-Forwarded-Host %[req.hdr(host)]\n\
         \x20 http-request del-header Keep-Alive\n  http-request del-header Proxy-Connection\n\
         \x20 http-request del-header TE\n  default_backend back\n\
         backend back\n  server origin {origin} pool-max-conn {MAX_IDLE}\n"
    )
}
