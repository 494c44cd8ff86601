import { once } from "node:events";
import { type IncomingHttpHeaders, type IncomingMessage, request } from "node:http";
import type { Duplex } from "node:stream";
import { text } from "node:stream/consumers";

/** How a request is made. */
export interface Asked {
  method?: string;
  headers?: Record<string, string>;
}

/** Begins a request to a preview, as a program whose resolver knows the names of previews. */
export function beginRequest(serverUrl: string, url: string, { method, headers }: Asked = {}) {
  const { host, pathname, search } = new URL(url);
  return request(serverUrl, {
    method: method ?? "GET",
    path: pathname + search,
    headers: { host, ...headers },
    agent: false,
  });
}

/** The answer to a request, of which no body has been read. */
export async function answerTo(sent: ReturnType<typeof request>): Promise<IncomingMessage> {
  const answer = Promise.withResolvers<IncomingMessage>();
  sent.once("response", answer.resolve);
  sent.once("error", answer.reject);
  return answer.promise;
}

/** Makes a request without a body and reads the whole answer. */
export async function ask(
  serverUrl: string,
  url: string,
  asked: Asked = {},
): Promise<{ status: number | undefined; headers: IncomingHttpHeaders; body: string }> {
  const answer = await answerTo(beginRequest(serverUrl, url, asked).end());
  return { status: answer.statusCode, headers: answer.headers, body: await text(answer) };
}

/** Opens a WebSocket to the byte; gives its connection. */
export async function openWebsocket(
  serverUrl: string,
  url: string,
  headers: Record<string, string> = {},
): Promise<Duplex> {
  const sent = beginRequest(serverUrl, url.replace(/^ws/, "http"), {
    headers: {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      "sec-websocket-version": "13",
      ...headers,
    },
  }).end();
  const opened = Promise.withResolvers<Duplex>();
  sent.once("upgrade", (_answer, socket) => opened.resolve(socket));
  sent.once("response", ({ statusCode }) =>
    opened.reject(new Error(`the upgrade was answered with ${statusCode}`)),
  );
  sent.once("error", opened.reject);
  return opened.promise;
}

/** A short text as a WebSocket's client sends it. */
export function frame(said: string): Buffer {
  const body = Buffer.from(said);
  return Buffer.concat([Buffer.from([0x81, 0x80 | body.length, 0, 0, 0, 0]), body]);
}

/** Waits for a text that a service sends. */
export async function heard(socket: Duplex, said: string): Promise<void> {
  for (let all = ""; !all.includes(said);) {
    const data: unknown[] = await once(socket, "data");
    all += String(data[0]);
  }
}
