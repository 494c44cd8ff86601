import { randomBytes } from "node:crypto";
import { once } from "node:events";
import type { Duplex } from "node:stream";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FakePort } from "../testing/fake-port.js";
import { cuts, tear } from "../testing/torn.js";
import { Channel } from "./channel.js";

/**
 * A key that does not begin with what it ends with: a host that dies one byte before the end
 * of any other would leave what the next one's first byte completes, and that one tries again.
 */
const KEY = Buffer.concat([Buffer.alloc(1, 0xa5), randomBytes(31).map((byte) => byte & 0x7f)]);

interface Session {
  stream: Duplex;
  received: Buffer;
}

/** A channel on a fake port. Sessions that `reads` collect what they are given. */
function open(reads = true) {
  const port = new FakePort();
  const sessions: Session[] = [];
  const stop = new AbortController();
  const channel = new Channel({
    port,
    key: KEY,
    onSession: (stream) => {
      const session = { stream, received: Buffer.alloc(0) };
      sessions.push(session);
      if (!reads) return;
      stream.on("data", (data: Buffer) => {
        session.received = Buffer.concat([session.received, data]);
      });
    },
  });
  const running = channel.run(stop.signal);
  const close = async () => {
    stop.abort();
    await running;
  };
  return { port, sessions, channel, [Symbol.asyncDispose]: close };
}

describe("sessions", () => {
  test("one begins with the key and the nonce, whatever came before and however it is torn", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 200 }),
        fc.uint8Array({ maxLength: 200 }),
        cuts,
        async (garbage, data, at) => {
          await using opened = open();
          const { port, sessions } = opened;
          const nonce = randomBytes(32);
          port.arrive(...tear(Buffer.concat([garbage, KEY, nonce, data]), at));
          await port.drained();
          expect(sessions).toHaveLength(1);
          expect(sessions[0]?.received).toEqual(Buffer.from(data));
          expect(port.written).toEqual(nonce);
        },
      ),
    );
  });

  test("a host that dies within its preamble leaves nothing behind", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 63 }), cuts, async (length, at) => {
        await using opened = open();
        const { port, sessions } = opened;
        const dead = Buffer.concat([KEY, randomBytes(32)]).subarray(0, length);
        const nonce = randomBytes(32);
        // The next host comes without a word of the first one's end, as after a restore.
        port.arrive(...tear(Buffer.concat([dead, KEY, nonce, Buffer.from("hello")]), at));
        await port.drained();
        expect(sessions.at(-1)?.received.toString()).toBe("hello");
        expect(port.written.subarray(-32)).toEqual(nonce);
      }),
    );
  });

  test("the next key destroys the session there is before it begins another", async () => {
    await using opened = open();
    const { port, sessions } = opened;
    port.arrive(KEY, randomBytes(32), Buffer.from("first"));
    await port.drained();
    port.arrive(KEY, randomBytes(32), Buffer.from("second"));
    await port.drained();
    expect(sessions.map(({ received }) => received.toString())).toEqual(["first", "second"]);
    expect(sessions.map(({ stream }) => stream.destroyed)).toEqual([true, false]);
  });

  test("a host that goes ends its session, and the next one is served", async () => {
    await using opened = open();
    const { port, sessions } = opened;
    port.arrive(KEY, randomBytes(32));
    port.hangUp();
    await port.drained();
    expect(sessions[0]?.stream.destroyed).toBe(true);
    port.arrive(KEY, randomBytes(32), Buffer.from("again"));
    await port.drained();
    expect(sessions[1]?.received.toString()).toBe("again");
  });

  test("a new key counts from the next session on", async () => {
    await using opened = open();
    const { port, sessions, channel } = opened;
    port.arrive(KEY, randomBytes(32), Buffer.from("one "));
    await port.drained();
    const key = randomBytes(32);
    channel.setKey(key);
    port.arrive(Buffer.from("goes on "), KEY);
    await port.drained();
    expect(sessions).toHaveLength(1);
    port.arrive(key, randomBytes(32), Buffer.from("two"));
    await port.drained();
    expect(sessions[1]?.received.toString()).toBe("two");
  });

  test("what the old session still wanted to say is not said to the new host", async () => {
    await using opened = open();
    const { port, sessions } = opened;
    port.arrive(KEY, randomBytes(32));
    await port.drained();
    port.takes = 0;
    sessions[0]?.stream.write(Buffer.alloc(100_000, "x"));
    await port.drained();
    const nonce = randomBytes(32);
    port.arrive(KEY, nonce);
    await port.drained();
    port.letHostRead(1000);
    sessions[1]?.stream.write("fresh");
    await expect.poll(() => port.written.toString()).toMatch(/fresh$/);
    const at = port.written.indexOf(nonce);
    // The one write that was outstanding cannot be called back; the rest of it was.
    expect(port.written.subarray(32, at)).toEqual(Buffer.alloc(1000, "x"));
    expect(port.written.subarray(at + 32).toString()).toBe("fresh");
  });
});

describe("back-pressure", () => {
  test("reading stops while the session does not consume", async () => {
    await using opened = open(false);
    const { port, sessions } = opened;
    const pieces = Array.from({ length: 1000 }, () => Buffer.alloc(4096, "x"));
    port.arrive(KEY, randomBytes(32), ...pieces);
    await new Promise((resolve) => setImmediate(resolve));
    const [session] = sessions;
    expect(session?.stream.readableLength).toBeLessThan(300 << 10);
    let received = 0;
    session?.stream.on("data", (data: Buffer) => (received += data.length));
    await port.drained();
    expect(received).toBe(4096 * 1000);
  });

  test("a sender waits while the host does not read, and nothing is lost or reordered", async () => {
    await using opened = open();
    const { port, sessions } = opened;
    port.arrive(KEY, randomBytes(32));
    await port.drained();
    const [session] = sessions;
    if (session === undefined) throw new Error("no session");
    port.takes = 0;
    const sent: Buffer[] = [];
    // Far more than the queue holds, in pieces of every size.
    for (let size = 0; size < 8 << 20; size += sent.at(-1)?.length ?? 0) {
      sent.push(Buffer.alloc(1 + ((sent.length * 7919) % 60_000), sent.length % 256));
      session.stream.write(sent.at(-1));
    }
    const drained = once(session.stream, "drain");
    expect(session.stream.writableLength).toBeGreaterThan(3 << 20);
    port.letHostRead(50_000);
    await drained;
    await expect.poll(() => port.written.length).toBe(32 + Buffer.concat(sent).length);
    expect(port.written.subarray(32).equals(Buffer.concat(sent))).toBe(true);
  });
});
