import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { createClient } from "@connectrpc/connect";
import { ProcessService } from "@nullspace/proto/agent";
import { afterEach, beforeEach, expect, test } from "vitest";
import { toNullspaceError } from "../error-mapping.js";
import { FakeServer } from "../testing/fake-server.js";
import { createTransport } from "./node.js";
import type { ClosableTransport } from "./transport.js";

/** A way to a server that can go silent without anybody being told, as a cable that is cut does. */
class Wire implements AsyncDisposable {
  readonly #sockets: Socket[] = [];
  readonly #server;
  #isCut = false;

  constructor(target: number) {
    this.#server = createServer((near) => {
      const far = connect(target, "127.0.0.1");
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.push(from);
        from.on("error", () => undefined).on("close", () => to.destroy());
        from.on("data", (data) => {
          if (!this.#isCut) to.write(data);
        });
      }
    }).listen(0, "127.0.0.1");
  }

  async url(): Promise<string> {
    if (!this.#server.listening) await once(this.#server, "listening");
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the wire has no end");
    return `http://127.0.0.1:${address.port}`;
  }

  cut(): void {
    this.#isCut = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const closed = once(this.#server, "close");
    this.#server.close();
    await closed;
  }
}

let server: FakeServer;
let wire: Wire;
let closable: ClosableTransport;
beforeEach(async () => {
  server = await FakeServer.start();
  wire = new Wire(server.port);
  closable = createTransport({
    url: await wire.url(),
    interceptors: [
      (next) => (request) => {
        request.header.set("Authorization", `Bearer ${server.apiKey}`);
        return next(request);
      },
    ],
    keepAlive: { pingIntervalMs: 50, pingTimeoutMs: 100 },
  });
});
afterEach(async () => {
  closable.close();
  await wire[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

test("a peer that is gone without a word is found out: its calls fail, to be made again", async () => {
  const processes = createClient(ProcessService, closable.transport);
  const call = async () => {
    for await (const { event } of processes.start({ command: "sleep 100" })) {
      if (event?.event.case === "started") wire.cut();
    }
  };
  const error: unknown = await call().catch((reason: unknown) => reason);
  expect(toNullspaceError(error)).toMatchObject({ name: "UnavailableError", retryable: true });
});

test("a peer that only has nothing to say is left alone", async () => {
  const processes = createClient(ProcessService, closable.transport);
  const cases: (string | undefined)[] = [];
  for await (const { event } of processes.start({ command: "sleep 0.6" }))
    cases.push(event?.event.case);
  expect(cases).toEqual(["started", "exit"]);
});
