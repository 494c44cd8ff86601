import { createClient } from "@connectrpc/connect";
import { ProcessService } from "@nullspace/proto/agent";
import { afterEach, beforeEach, expect, test } from "vitest";
import { toNullspaceError } from "../error-mapping.js";
import { FakeServer } from "../testing/fake-server.js";
import { Wire } from "../testing/wire.js";
import { createTransport } from "./node.js";
import type { ClosableTransport } from "./transport.js";

let server: FakeServer;
let wire: Wire;
let closable: ClosableTransport;
beforeEach(async () => {
  server = await FakeServer.start();
  wire = await Wire.open(server.port);
  closable = createTransport({
    url: wire.url,
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
      if (event?.event.case === "started") wire.silence();
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
