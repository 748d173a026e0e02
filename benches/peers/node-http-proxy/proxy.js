// http-proxy with the header work that the others do: `node proxy.js LISTEN_ADDR UPSTREAM_ADDR`.

import http from "node:http";

import httpProxy from "http-proxy";

/** As many idle connections as all of the others keep. */
const MAX_IDLE = 64;

const [listen, upstream] = process.argv.slice(2);
const colon = listen.lastIndexOf(":");

const proxy = httpProxy.createProxyServer({
  target: `http://${upstream}`,
  agent: new http.Agent({ keepAlive: true, maxFreeSockets: MAX_IDLE }),
});

proxy.on("error", (_error, _request, response) => {
  if (!response.headersSent) response.writeHead?.(502, { "content-length": 0 });
  response.end();
});

const server = http.createServer((request, response) => {
  const { headers } = request;
  for (const name of ["connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"]) {
    delete headers[name];
  }
  const before = headers["x-forwarded-for"];
  const peer = request.socket.remoteAddress;
  headers["x-forwarded-for"] = before ? `${before}, ${peer}` : peer;
  headers["x-forwarded-proto"] = "http";
  headers["x-forwarded-host"] = headers.host;
  proxy.web(request, response);
});

// Node would close the connections of the load program after five seconds of silence.
server.keepAliveTimeout = 600_000;
server.requestTimeout = 0;
server.listen(Number(listen.slice(colon + 1)), listen.slice(0, colon), 4096);
