import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, ErrorReason } from "@nullspace/proto";
import { describe, expect, test } from "vitest";
import { type Attack, type GuestPort, HostileGuest } from "../../testing/hostile-guest.js";
import { FLAG, FRAME, frame, headerBlock, uint32 } from "../../testing/http2-frames.js";
import { AgentConnection } from "./agent-connection.js";
import { linkAgent } from "./agent-link.js";
import { systemClient } from "./system-client.js";
import { AGENT_SOCKET } from "../qemu/command-line.js";
import { connectUnix } from "../unix-socket.js";

const KEY = Buffer.alloc(32, 1);
const MIB = 1 << 20;

/** What a flood may cost; the guest's part of it is in this process as well. */
const MOST_HELD_BYTES = 32 * MIB;

setFlagsFromString("--expose-gc");

const NOTHING = Buffer.alloc(0);
const NUMBER = Buffer.alloc(8);

/** Floods with one frame, on the stream of the host's first call. */
function flood(type: number, flags: number, payload: Buffer, stream?: number): Attack {
  return async (port) => {
    await port.begin();
    const called = await port.call(1);
    await port.flood(frame(type, flags, stream ?? called, payload));
  };
}

/** As {@link flood}, after the head of an answer. */
function floodAnswer(type: number, flags: number, payload: Buffer): Attack {
  return async (port) => {
    await port.begin();
    const stream = await port.answer(1);
    await port.flood(frame(type, flags, stream, payload));
  };
}

function promises(isConfirmed: boolean): Attack {
  return async (port) => {
    if (isConfirmed) await port.begin();
    else {
      await port.send(await port.nonce());
      await port.send(frame(FRAME.settings, 0, 0, NOTHING));
    }
    const stream = await port.call(1);
    const head = headerBlock([
      [":method", "GET"],
      [":path", "/"],
      [":scheme", "http"],
      [":authority", "x"],
    ]);
    for (let id = 2, sent = true; sent;) {
      const batch: Buffer[] = [];
      for (let i = 0; i < 1000; i++, id += 2) {
        const payload = Buffer.concat([uint32(id), head]);
        batch.push(frame(FRAME.pushPromise, FLAG.endHeaders, stream, payload));
      }
      sent = await port.send(Buffer.concat(batch));
    }
  };
}

const FLOODS: Record<string, Attack> = {
  pings: flood(FRAME.ping, 0, NUMBER, 0),
  "answers to pings that nobody sent": flood(FRAME.ping, FLAG.ack, NUMBER, 0),
  settings: flood(FRAME.settings, 0, Buffer.from([0, 4, 0, 1, 0, 0]), 0),
  "empty settings": flood(FRAME.settings, 0, NOTHING, 0),
  resets: flood(FRAME.reset, 0, uint32(8)),
  goodbyes: flood(FRAME.goaway, 0, Buffer.concat([uint32(0x7fffffff), uint32(0)]), 0),
  "window updates": flood(FRAME.windowUpdate, 0, uint32(1)),
  priorities: flood(FRAME.priority, 0, Buffer.alloc(5, 1), 7),
  "alternative services": flood(10, 0, Buffer.from([0, 0, 65, 66])),
  origins: flood(12, 0, Buffer.from([0, 1, 65]), 0),
  "frames of no known type": flood(77, 0, NOTHING),
  "streams that nobody asked for": promises(true),
  "streams that nobody asked for, before it may know so": promises(false),
  "headers before the answer's": flood(
    FRAME.headers,
    FLAG.endHeaders,
    headerBlock([
      [":status", "103"],
      ["link", "x"],
    ]),
  ),
  "a gigabyte of headers": async (port) => {
    await port.begin();
    const stream = await port.call(1);
    await port.send(frame(FRAME.headers, 0, stream, headerBlock([[":status", "200"]])));
    const more = headerBlock([["x", "y".repeat(16_000)]]);
    await port.flood(frame(FRAME.continuation, 0, stream, more));
  },
  "headers that are small and say much": async (port) => {
    await port.begin();
    const stream = await port.call(1);
    // Status 200, one long field for the table of HPACK, and its place there, one byte, again and again.
    const field = Buffer.concat([
      Buffer.from([0x40, 1, 0x78, 0x7f, 0xb1, 0x1e]),
      Buffer.alloc(4016, 0x79),
    ]);
    const block = Buffer.concat([Buffer.from([0x88]), field, Buffer.alloc(12_000, 0xbe)]);
    await port.flood(frame(FRAME.headers, FLAG.endHeaders, stream, block));
  },
  "an answer without end": floodAnswer(FRAME.data, 0, Buffer.alloc(16_000)),
  "parts of an answer that hold nothing": floodAnswer(FRAME.data, 0, NOTHING),
  "trailers again and again": floodAnswer(
    FRAME.headers,
    FLAG.endHeaders,
    headerBlock([["x", "y"]]),
  ),
};

describe.each(Object.entries(FLOODS))("a guest that floods its host with %s", (_, attack) => {
  test("is hung up on, and costs a bounded amount of memory", async () => {
    const attacked = Promise.withResolvers<GuestPort>();
    await using guest = await HostileGuest.start(async (port) => {
      attacked.resolve(port);
      await attack(port);
    });
    using connection = new AgentConnection("m1", guest.directory, KEY);
    const session = await connection.session({ timeoutMs: 10_000 });
    const before = held();
    const call = systemClient(session).ping({}).catch(told);
    const port = await attacked.promise;
    await port.hungUp;
    expect(await call).toBe("AGENT_UNREACHABLE");
    expect(held() - before).toBeLessThan(MOST_HELD_BYTES);
  }, 30_000);
});

/** What this process holds for JavaScript when its garbage is collected, in bytes. */
function held(): number {
  runInNewContext("gc()");
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

/** Why a call failed. One whose connection broke reads as if it had been cancelled. */
function told(error: unknown): string {
  if (!(error instanceof ConnectError)) return String(error);
  const [info] = error.findDetails(ErrorInfoSchema);
  if (info !== undefined) return ErrorReason[info.reason];
  return error.code === Code.Canceled ? "AGENT_UNREACHABLE" : Code[error.code];
}

test("a guest that ends sessions within headers ends nothing else", async () => {
  // Node.js then counted memory wrong, and ended itself when it collected the garbage: no assertion can say so.
  await using guest = await HostileGuest.start(async (port) => {
    await port.begin();
    const stream = await port.call(1);
    const headers = headerBlock([
      [":status", "200"],
      ["x", "y".repeat(100)],
    ]);
    const torn = frame(FRAME.headers, 0, stream, headers);
    await port.send(Buffer.concat([torn, frame(FRAME.reset, 0, stream, uint32(8))]));
  });
  const ended: unknown[] = [];
  const endSessions = async () => {
    for (let i = 0; i < 200; i++) {
      using connection = new AgentConnection("m1", guest.directory, KEY);
      const session = await connection.session({ timeoutMs: 10_000 });
      ended.push(await systemClient(session).ping({}).catch(told));
    }
  };
  await Promise.all(Array.from({ length: 4 }, endSessions));
  expect(new Set(ended)).toEqual(new Set(["AGENT_UNREACHABLE"]));
}, 30_000);

describe("before a session", () => {
  test("a guest that floods is hung up on", async () => {
    const flooded: GuestPort[] = [];
    await using guest = await HostileGuest.start(async (port) => {
      flooded.push(port);
      await port.flood(Buffer.alloc(64 << 10, 1));
    });
    using connection = new AgentConnection("m1", guest.directory, KEY);
    await expect(connection.session({ timeoutMs: 30_000 })).rejects.toThrow(
      "cannot be reached: the machine floods",
    );
    for (const port of flooded) expect(port.sent).toBeLessThan(24 * MIB);
  });

  test("one that never answers is given up", async () => {
    await using guest = await HostileGuest.start();
    const deadline = { timeoutMs: 50 };
    const socket = await connectUnix(guest.directory, AGENT_SOCKET, deadline);
    await expect(linkAgent(socket, KEY, deadline)).rejects.toThrow("waited 50 ms");
    expect(socket.destroyed).toBe(true);
  });

  test("one that answers by another's nonce is given up", async () => {
    await using guest = await HostileGuest.start(async (port) => {
      const others = Buffer.from(await port.nonce());
      others.writeUInt8(others.readUInt8(0) ^ 1, 0);
      await port.send(Buffer.concat([KEY, others]));
    });
    const deadline = { timeoutMs: 50 };
    const socket = await connectUnix(guest.directory, AGENT_SOCKET, deadline);
    await expect(linkAgent(socket, KEY, deadline)).rejects.toThrow("waited 50 ms");
  });
});

test("a guest that never answers a call is given as long as the call is", async () => {
  await using guest = await HostileGuest.start((port) => port.begin());
  using connection = new AgentConnection("m1", guest.directory, KEY);
  const session = await connection.session({ timeoutMs: 10_000 });
  await expect(systemClient(session).ping({}, { timeoutMs: 50 })).rejects.toMatchObject({
    code: Code.DeadlineExceeded,
  });
});

test("one that was hung up on is connected to again, and only by who calls it", async () => {
  let connections = 0;
  await using guest = await HostileGuest.start(async (port) => {
    connections++;
    await port.begin();
    if (connections === 1) await flood(FRAME.goaway, 0, NUMBER, 0)(port);
  });
  using connection = new AgentConnection("m1", guest.directory, KEY);
  const first = await connection.session({ timeoutMs: 10_000 });
  await systemClient(first)
    .ping({})
    .catch(() => undefined);
  expect(connections).toBe(1);
  expect(await connection.session({ timeoutMs: 10_000 })).not.toBe(first);
  expect(connections).toBe(2);
});

test("a call on a session that is over fails, from wherever it is made", async () => {
  await using guest = await HostileGuest.start((port) => port.begin());
  using connection = new AgentConnection("m1", guest.directory, KEY);
  const session = await connection.session({ timeoutMs: 10_000 });
  session.destroy();
  const called = Promise.withResolvers<unknown>();
  // From no promise's reaction: the session then tells its error before the call listens for it.
  setImmediate(() => called.resolve(systemClient(session).ping({}).catch(told)));
  expect(await called.promise).toBe("AGENT_UNREACHABLE");
});
