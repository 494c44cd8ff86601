// Runs inside a machine: the services that tests of previews look at.
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { type Duplex, pipeline } from "node:stream";

const PAGE = `<!doctype html>
<title>chat</title>
<form><input id="said" autocomplete="off"></form>
<ol id="heard"></ol>
<script>
  const socket = new WebSocket(location.origin.replace("http", "ws") + "/chat");
  socket.onopen = () => document.body.dataset.state = "open";
  socket.onclose = () => document.body.dataset.state = "closed";
  socket.onmessage = ({ data }) => {
    heard.append(Object.assign(document.createElement("li"), { textContent: data }));
  };
  document.forms[0].onsubmit = (event) => {
    event.preventDefault();
    socket.send(said.value);
    said.value = "";
  };
</script>`;

/** 128 MiB. */
function* large(): Generator<Buffer> {
  const part = Buffer.alloc(1 << 20);
  for (let index = 0; index < 128; index++) yield part;
}

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url ?? "/", "http://guest");
  switch (pathname) {
    case "/":
      response.setHeader("content-type", "text/html");
      response.end(PAGE);
      break;
    case "/seen":
      response.end(JSON.stringify({ url: request.url, headers: request.headers }));
      break;
    case "/echo":
      request.pipe(response);
      break;
    case "/large":
      pipeline(large(), response, () => undefined);
      break;
    case "/events": {
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.write("data: 0\n\n");
      let count = 0;
      const timer = setInterval(() => response.write(`data: ${++count}\n\n`), 100);
      response.on("close", () => clearInterval(timer));
      break;
    }
    default:
      response.writeHead(404).end();
  }
});

/** Rooms of one: what is said is heard by all who are there. */
const sockets = new Set<Duplex>();

server.on("upgrade", (request, socket) => {
  const accept = createHash("sha1")
    .update(`${request.headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
  );
  sockets.add(socket);
  socket.on("error", () => undefined);
  socket.on("close", () => sockets.delete(socket));
  let kept = Buffer.alloc(0);
  socket.on("data", (data: Buffer) => {
    kept = Buffer.concat([kept, data]);
    // Short masked frames are all that these tests send.
    while (kept.length >= 6) {
      const length = kept.readUInt8(1) & 0x7f;
      if (kept.length < 6 + length) break;
      const mask = kept.subarray(2, 6);
      const text = kept.subarray(6, 6 + length).map((byte, at) => byte ^ (mask[at % 4] ?? 0));
      const isClose = (kept.readUInt8(0) & 0xf) === 8;
      kept = kept.subarray(6 + length);
      if (isClose) socket.end(Buffer.from([0x88, 0]));
      else for (const one of sockets) one.write(Buffer.concat([Buffer.from([0x81, length]), text]));
    }
  });
});

server.listen(Number(process.argv[2] ?? 3000), "127.0.0.1");
