// Rooms as topics of uWebSockets, which Bun has built in: `bun server.js LISTEN_ADDR CONTROL_ADDR`.

const [listen, control] = process.argv.slice(2).map((address) => {
  const colon = address.lastIndexOf(":");
  return { hostname: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
});

const server = Bun.serve({
  ...listen,
  fetch(request, server) {
    const room = new URL(request.url).pathname.slice("/ws/".length);
    if (!server.upgrade(request, { data: { room } })) return new Response(null, { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    maxPayloadLength: 64 * 1024,
    idleTimeout: 0,
    // As ours lets wait. Whoever reads nothing stays, and gets nothing more.
    backpressureLimit: 256 * 1024,
    closeOnBackpressureLimit: false,
    open(member) {
      member.subscribe(member.data.room);
      member.send("joined");
    },
    message() {},
  },
});

Bun.listen({
  ...control,
  socket: {
    open(publisher) {
      publisher.data = { rest: "", decoder: new TextDecoder() };
    },
    data(publisher, bytes) {
      const lines = (publisher.data.rest + publisher.data.decoder.decode(bytes, { stream: true })).split("\n");
      publisher.data.rest = lines.pop();
      for (const line of lines) {
        const first = line.indexOf(" ");
        const second = line.indexOf(" ", first + 1);
        server.publish(line.slice(0, first), line.slice(second + 1));
      }
    },
  },
});
