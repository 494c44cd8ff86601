import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { createWritableIterable } from "@connectrpc/connect/protocol";
import { ErrorReason } from "@nullspace/proto";
import type { DialRequestSchema, DialResponse } from "@nullspace/proto/agent";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { startTestAgent, type TestAgent } from "../testing/agent.js";
import type { Host } from "../testing/dial.js";
import { reasonOf } from "../testing/output.js";

let agent: TestAgent;
let host: Host;
const servers: Server[] = [];

beforeAll(async () => {
  agent = await startTestAgent();
  host = await agent.dial();
});

afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await agent[Symbol.asyncDispose]();
});

afterEach(() => {
  for (const server of servers.splice(0)) server.close();
});

/** A service of this computer, which is the agent's machine. */
async function listen(onConnection: (socket: Socket) => void, address = "127.0.0.1") {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => undefined);
    onConnection(socket);
  });
  servers.push(server);
  server.listen(0, address);
  await once(server, "listening");
  const place = server.address();
  if (place === null || typeof place === "string") throw new Error("no port");
  return place.port;
}

type Message = NonNullable<MessageInitShape<typeof DialRequestSchema>["message"]>;

/** A call of Dial, message by message. */
function dial(
  port: number,
  options: { host?: string; waitMs?: number; signal?: AbortSignal } = {},
) {
  const requests = createWritableIterable<MessageInitShape<typeof DialRequestSchema>>();
  const responses = host.port.dial(requests, { ...(options.signal && { signal: options.signal }) });
  const iterator = responses[Symbol.asyncIterator]();
  const send = async (message: Message) => requests.write({ message });
  void send({
    case: "open",
    value: { port, host: options.host ?? "", waitMs: options.waitMs ?? 0 },
  });
  return {
    send,
    close: () => requests.close(),
    async next(): Promise<DialResponse["message"] | undefined> {
      const result: IteratorResult<DialResponse, unknown> = await iterator.next();
      return result.done === true ? undefined : result.value.message;
    },
  };
}

const text = (message: DialResponse["message"] | undefined) =>
  message?.case === "data" ? Buffer.from(message.value).toString() : message?.case;

describe("dial", () => {
  test("carries bytes both ways, and each half ends by itself", async () => {
    const port = await listen((socket) => {
      let got = "";
      socket.on("data", (data) => (got += data.toString()));
      // Answers only after the other half has ended.
      socket.on("end", () => socket.end(`got ${got}`));
    });
    const call = dial(port);
    expect(text(await call.next())).toBe("opened");
    await call.send({ case: "data", value: Buffer.from("one ") });
    await call.send({ case: "data", value: Buffer.from("two") });
    await call.send({ case: "end", value: {} });
    expect(text(await call.next())).toBe("got one two");
    expect(text(await call.next())).toBe("end");
    expect(await call.next()).toBeUndefined();
  });

  test("goes on to send when the port has ended its half", async () => {
    const received = Promise.withResolvers<string>();
    const port = await listen((socket) => {
      socket.end("bye");
      let got = "";
      socket.on("data", (data) => (got += data.toString()));
      socket.on("end", () => received.resolve(got));
    });
    const call = dial(port);
    expect(text(await call.next())).toBe("opened");
    expect(text(await call.next())).toBe("bye");
    expect(text(await call.next())).toBe("end");
    await call.send({ case: "data", value: Buffer.from("late") });
    await call.send({ case: "end", value: {} });
    expect(await call.next()).toBeUndefined();
    expect(await received.promise).toBe("late");
  });

  test("finds a service that listens on ::1 only", async () => {
    const port = await listen((socket) => socket.end("six"), "::1");
    const call = dial(port);
    expect(text(await call.next())).toBe("opened");
    expect(text(await call.next())).toBe("six");
    call.close();
  });

  test("dials the address that is asked for and no other", async () => {
    const port = await listen((socket) => socket.end(), "127.0.0.2");
    expect(text(await dial(port, { host: "127.0.0.2" }).next())).toBe("opened");
    await expect(reasonOf(dial(port).next())).resolves.toBe(ErrorReason.PORT_CLOSED);
  });

  test("waits until something listens", async () => {
    const port = await listen(() => undefined);
    servers.pop()?.close();
    const call = dial(port, { waitMs: 60_000 });
    const first = call.next();
    await expect(reasonOf(dial(port, { waitMs: 60 }).next())).resolves.toBe(
      ErrorReason.PORT_CLOSED,
    );
    const server = createServer((socket) => socket.on("error", () => undefined).end("here"));
    servers.push(server);
    server.listen(port, "127.0.0.1");
    expect(text(await first)).toBe("opened");
    expect(text(await call.next())).toBe("here");
    call.close();
  });

  test.each([
    { port: 0, host: "" },
    { port: 65_536, host: "" },
    { port: 80, host: "localhost" },
    { port: 80, host: "127.0.0.1:80" },
  ])("refuses $host port $port", async ({ port, host: name }) => {
    const call = dial(port, { host: name });
    await expect(reasonOf(call.next())).resolves.toBe(ErrorReason.INVALID_ARGUMENT);
  });

  test("refuses data before open, and open twice", async () => {
    const port = await listen((socket) => socket.resume());
    const twice = dial(port);
    expect(text(await twice.next())).toBe("opened");
    await twice.send({ case: "open", value: { port } });
    await expect(reasonOf(twice.next())).resolves.toBe(ErrorReason.INVALID_ARGUMENT);
    const requests = createWritableIterable<MessageInitShape<typeof DialRequestSchema>>();
    void requests.write({ message: { case: "data", value: Buffer.from("x") } });
    const early = host.port.dial(requests)[Symbol.asyncIterator]();
    await expect(reasonOf(early.next())).resolves.toBe(ErrorReason.INVALID_ARGUMENT);
  });

  test("tells that the service broke the connection off", async () => {
    const port = await listen((socket) => {
      socket.once("data", () => socket.resetAndDestroy());
    });
    const call = dial(port);
    expect(text(await call.next())).toBe("opened");
    await call.send({ case: "data", value: Buffer.from("x") });
    await expect(reasonOf(call.next())).resolves.toBe(ErrorReason.PORT_CONNECTION_LOST);
  });

  test.each(["cancelled", "closed before its end"])(
    "resets the connection of a call that is %s",
    async (how) => {
      const error = Promise.withResolvers<NodeJS.ErrnoException>();
      const port = await listen((socket) => socket.resume().on("error", error.resolve));
      const cancel = new AbortController();
      const call = dial(port, { signal: cancel.signal });
      expect(text(await call.next())).toBe("opened");
      const outcome = call.next().catch(() => "failed");
      if (how === "cancelled") cancel.abort();
      else call.close();
      expect((await error.promise).code).toBe("ECONNRESET");
      expect(await outcome).toBe("failed");
    },
  );

  test("resets the connections of a host that has gone", async () => {
    const error = Promise.withResolvers<NodeJS.ErrnoException>();
    const port = await listen((socket) => socket.resume().on("error", error.resolve));
    expect(text(await dial(port).next())).toBe("opened");
    host.socket.destroy();
    expect((await error.promise).code).toBe("ECONNRESET");
    host = await agent.dial();
  });

  test("reads no more from a port than the caller takes", async () => {
    const stalled = Promise.withResolvers<number>();
    const port = await listen((socket) => {
      const block = Buffer.alloc(1 << 20);
      let written = 0;
      const fill = () => {
        do written += block.length;
        while (socket.write(block));
        // As much as the buffers of two sockets and of the call hold; and no more for a while.
        const quiet = setTimeout(() => stalled.resolve(written), 300);
        socket.once("drain", () => {
          clearTimeout(quiet);
          fill();
        });
      };
      fill();
    });
    const cancel = new AbortController();
    const call = dial(port, { signal: cancel.signal });
    expect(text(await call.next())).toBe("opened");
    expect(await stalled.promise).toBeLessThan(40 << 20);
    cancel.abort();
  });
});

describe("list", () => {
  test("tells ports with who listens", async () => {
    const port = await listen(() => undefined, "127.0.0.3");
    const { ports } = await host.port.list({});
    const found = ports.find((entry) => entry.port === port);
    expect(found).toMatchObject({ address: "127.0.0.3", pid: process.pid });
    expect(found?.process).not.toBe("");
    expect(ports.map((entry) => entry.port)).toStrictEqual(
      ports.map((entry) => entry.port).toSorted((a, b) => a - b),
    );
  });
});
