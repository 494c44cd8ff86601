import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { buffer } from "node:stream/consumers";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WebSocketServer } from "ws";
import { openRelay } from "./relay-stream.js";

let server: Server;
let answer: (socket: NodeJS.WritableStream) => void;
let authorization: string | undefined;

beforeEach(async () => {
  const webSockets = new WebSocketServer({ noServer: true });
  answer = () => undefined;
  server = createServer().on("upgrade", (request, socket, head) => {
    authorization = request.headers.authorization;
    if (request.url === "/refused") return answer(socket);
    webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      webSocket.on("message", (data) => {
        webSocket.send(data);
        webSocket.close();
      });
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterEach(() => server.close());

function urlOf(path: string): string {
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no port");
  return `ws://127.0.0.1:${address.port}${path}`;
}

const refuseWith = (status: string, body: string) => {
  answer = (socket) =>
    socket.end(`HTTP/1.1 ${status}\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
  return openRelay({ url: urlOf("/refused"), token: "t" });
};

test("carries bytes, with the token in a header", async () => {
  const stream = await openRelay({ url: urlOf("/"), token: "a-token" });
  stream.write("hello");
  expect((await buffer(stream)).toString()).toBe("hello");
  expect(authorization).toBe("Bearer a-token");
});

test("tells why it is refused, in the server's words where there are any", async () => {
  const body = JSON.stringify({ error: { message: "no good token", remedy: "Get one." } });
  await expect(refuseWith("401 No", body)).rejects.toThrow("no good token. Get one.");
  await expect(refuseWith("502 Bad", "<html>")).rejects.toThrow("status 502");
  await expect(refuseWith("403 No", "null")).rejects.toThrow("status 403");
});

test("tells that nobody is there, without the token", async () => {
  const opening = openRelay({ url: "ws://127.0.0.1:1/", token: "a-token" });
  await expect(opening).rejects.toThrow(/^cannot reach ws:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/);
});
