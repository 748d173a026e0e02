// ws with rooms: `node server.js LISTEN_ADDR CONTROL_ADDR`.

import http from "node:http";
import net from "node:net";

import { WebSocketServer } from "ws";

const [listen, control] = process.argv.slice(2).map((address) => {
  const colon = address.lastIndexOf(":");
  return { host: address.slice(0, colon), port: Number(address.slice(colon + 1)), backlog: 4096 };
});

/** The members of each room. */
const rooms = new Map();

const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false, maxPayload: 64 * 1024 });

const server = http.createServer((_request, response) => response.writeHead(426).end());
server.on("upgrade", (request, socket, head) => {
  sockets.handleUpgrade(request, socket, head, (member) => {
    const room = request.url.slice("/ws/".length);
    const members = rooms.get(room) ?? new Set();
    rooms.set(room, members.add(member));
    member.on("close", () => members.delete(member));
    member.on("error", () => member.terminate());
    member.send("joined");
  });
});
server.listen(listen);

const text = { binary: false };
net
  .createServer((publisher) => {
    let rest = "";
    publisher.setEncoding("utf8");
    publisher.on("error", () => publisher.destroy());
    publisher.on("data", (data) => {
      const lines = (rest + data).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        const first = line.indexOf(" ");
        const second = line.indexOf(" ", first + 1);
        // Encoded once; each member's header is its own.
        const event = Buffer.from(line.slice(second + 1));
        for (const member of rooms.get(line.slice(0, first)) ?? []) member.send(event, text);
      }
    });
  })
  .listen(control);
