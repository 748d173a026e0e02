//! What the newcomer sees first.

use std::io::{self, Write};
use std::time::Duration;

use tramline_streaming_proxy::layer::rate_limit::Quota;

use crate::system::Summary;

/// Prints where the system is, who can sign in, what the demo provider signs with, and how long it took.
pub fn banner(system: &Summary, took: Duration) {
    let port = system.ports.gateway.port();
    let options = &system.options;
    let limit = |quota: Option<Quota>| {
        quota.map_or_else(|| "off".to_owned(), |q| format!("{} per {} s", q.limit(), q.window().as_secs()))
    };
    let limits = &options.rate_limits;
    let kept =
        options.data.as_ref().map_or_else(|| "nothing is kept".to_owned(), |p| format!("{}/", p.display()));
    // Whoever does not listen (`stack | head -1`) does not end the system.
    let _ = writeln!(
        io::stdout(),
        "\n  Tramline is ready in {} ms\n\n  \
         open        http://localhost:{port}\n  \
         accounts    admin@example.com   vendor@example.com   customer@example.com\n  \
         password    TestPassword123!\n  \
         webhook     signed with {}\n  \
         limits      api {}, sign-in {}, static {}\n  \
         services    auth {}  payments {}  admin {}  profile {}\n  \
         operators   http://{}/readyz  /livez  /metrics\n  \
         data        {kept}\n\n  \
         Ctrl-C drains and ends.\n",
        took.as_millis(),
        system.webhook_secret.expose(),
        limit(limits.api),
        limit(limits.auth),
        limit(limits.statics),
        system.ports.auth.port(),
        system.ports.payments.port(),
        system.ports.admin.port(),
        system.ports.profile.port(),
        system.ports.ops,
    );
}
