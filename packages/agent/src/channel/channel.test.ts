import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { helperProgram } from "../helper/program.js";
import { cuts, tear } from "../testing/torn.js";
import { Channel } from "./channel.js";

const PROGRAM = join(dirname(helperProgram()), "channel-pump");
/** One that begins as its second half does: what follows half of it may be the key again. */
const KEY = Buffer.from("0123456789abcdef0123456789ABCDEF");
const MIB = 1 << 20;

let folder: string;
let count = 0;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "nullspace-channel-"));
});
afterEach(() => rm(folder, { recursive: true }));

interface Session {
  stream: Socket;
  received: Buffer;
  closed: Promise<unknown>;
}

/** A channel, and a host that comes to it. Sessions that `reads` collect what they are given. */
async function open(reads = true) {
  const place = join(folder, String(count++));
  const port = join(folder, `port-${count}`);
  const channel = await Channel.open({ program: PROGRAM, port, folder: place });
  const sessions: Session[] = [];
  let changed = Promise.withResolvers<void>();
  const change = () => {
    changed.resolve();
    changed = Promise.withResolvers();
  };
  channel.serve(KEY, (stream) => {
    const session = {
      stream,
      received: Buffer.alloc(0),
      closed: new Promise((resolve) => stream.once("close", resolve)),
    };
    sessions.push(session);
    if (reads) {
      stream.on("data", (data: Buffer) => {
        session.received = Buffer.concat([session.received, data]);
        change();
      });
    } else stream.pause();
    change();
  });
  const hosts: Host[] = [];
  return {
    place,
    channel,
    sessions,
    async come() {
      const host = await Host.dial(port);
      hosts.push(host);
      return host;
    },
    /** Resolves when something is so. */
    async until(isSo: () => boolean) {
      while (!isSo()) await changed.promise;
    },
    async [Symbol.asyncDispose]() {
      for (const host of hosts) host.socket.destroy();
      await channel[Symbol.asyncDispose]();
    },
  };
}

class Host {
  readonly socket: Socket;
  #pieces: Buffer[] = [];
  #length = 0;
  #changed = Promise.withResolvers<void>();

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("error", () => socket.destroy());
    socket.on("data", (data: Buffer) => {
      this.#pieces.push(data);
      this.#length += data.length;
      this.#changed.resolve();
      this.#changed = Promise.withResolvers();
    });
  }

  get received(): Buffer {
    const all = Buffer.concat(this.#pieces);
    this.#pieces = [all];
    return all;
  }

  static async dial(path: string): Promise<Host> {
    const socket = connect(path);
    await once(socket, "connect");
    return new Host(socket);
  }

  /** Sends pieces, each in a turn of its own: most are read one by one. */
  async send(...pieces: Uint8Array[]): Promise<void> {
    for (const piece of pieces) {
      if (piece.length === 0) continue;
      this.socket.write(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async hears(bytes: Buffer): Promise<void> {
    while (!this.received.includes(bytes)) await this.#changed.promise;
  }

  async hearsSoMuch(length: number): Promise<void> {
    while (this.#length < length) await this.#changed.promise;
  }
}

/** Memory of the program that was started with this folder. */
async function residentKib(place: string): Promise<number> {
  for (const name of await readdir("/proc")) {
    const line = await readFile(`/proc/${name}/cmdline`, "latin1").catch(() => "");
    if (!line.startsWith(PROGRAM) || !line.includes(place)) continue;
    const status = await readFile(`/proc/${name}/status`, "utf8");
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
  }
  throw new Error("the program does not run");
}

/** Bytes that are often a beginning of the key, or nearly one. */
const nearlyKey = fc
  .array(
    fc.oneof(
      fc.nat(KEY.length - 1).map((length) => KEY.subarray(0, length)),
      fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    ),
    { maxLength: 4 },
  )
  .map((parts) => Buffer.concat(parts))
  .filter((bytes) => !bytes.includes(KEY));

describe("sessions", () => {
  test("one begins with the key and the nonce, whatever came before and however it is torn", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(nearlyKey, { minLength: 2, maxLength: 4 }),
        cuts,
        async (contents, at) => {
          await using opened = await open();
          const { sessions } = opened;
          const host = await opened.come();
          const nonces = contents.map(() => randomBytes(32));
          const parts = contents.flatMap((content, i) =>
            i === 0 ? [content] : [KEY, nonces[i] ?? KEY, content],
          );
          await host.send(...tear(Buffer.concat(parts), at));
          await host.hears(nonces.at(-1) ?? KEY);
          host.socket.end();
          await opened.until(() => sessions.length > contents.length - 2);
          await sessions.at(-1)?.closed;
          // What came before the first key is nobody's.
          const wanted = contents.slice(1);
          expect(sessions).toHaveLength(wanted.length);
          for (const [i, content] of wanted.entries()) {
            const got = sessions[i]?.received ?? Buffer.alloc(0);
            const isLast = i === wanted.length - 1;
            const common = Math.min(got.length, content.length);
            expect(got.subarray(0, common)).toEqual(content.subarray(0, common));
            // One that is ending may be given the first bytes of the key, and may be ended before it has read all.
            expect(got.length).toBeLessThan(content.length + (isLast ? 1 : 8));
            // The last one waits for the rest of what may be a key.
            const least = isLast ? content.length - KEY.length : -1;
            expect(got.length).toBeGreaterThan(least);
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test("a host that dies within its preamble leaves nothing behind", async () => {
    // One that ends as it begins would be completed by the next one's first byte, and that one tries again.
    const key = Buffer.concat([Buffer.alloc(1, 0xa5), randomBytes(31).map((byte) => byte & 0x7f)]);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: 63 }), cuts, async (length, at) => {
        await using opened = await open();
        const { sessions } = opened;
        opened.channel.setKey(key);
        const host = await opened.come();
        const dead = Buffer.concat([key, randomBytes(32)]).subarray(0, length);
        const nonce = randomBytes(32);
        // The next host comes without a word of the first one's end, as after a restore.
        await host.send(...tear(Buffer.concat([dead, key, nonce, Buffer.from("hello")]), at));
        await host.hears(nonce);
        await opened.until(() => sessions.at(-1)?.received.toString() === "hello");
        expect(host.received.subarray(-32)).toEqual(nonce);
      }),
      { numRuns: 40 },
    );
  });

  test("the next key destroys the session there is before it begins another", async () => {
    await using opened = await open();
    const { sessions } = opened;
    const host = await opened.come();
    await host.send(KEY, randomBytes(32), Buffer.from("first"));
    await opened.until(() => sessions[0]?.received.toString() === "first");
    await host.send(KEY, randomBytes(32), Buffer.from("second"));
    await opened.until(() => sessions[1]?.received.toString() === "second");
    expect(sessions.map(({ stream }) => stream.destroyed)).toEqual([true, false]);
  });

  test("a host that goes ends its session, which is given all it said, and the next one is served", async () => {
    await using opened = await open();
    const { sessions } = opened;
    const first = await opened.come();
    const nonce = randomBytes(32);
    await first.send(KEY, nonce);
    await first.hears(nonce);
    first.socket.end("last words");
    await opened.until(() => sessions.length > 0);
    await sessions[0]?.closed;
    expect(sessions[0]?.received.toString()).toBe("last words");
    const second = await opened.come();
    await second.send(KEY, randomBytes(32), Buffer.from("again"));
    await opened.until(() => sessions[1]?.received.toString() === "again");
  });

  test("a session that the agent ends is over; the next one begins as ever", async () => {
    await using opened = await open();
    const { sessions } = opened;
    const host = await opened.come();
    await host.send(KEY, randomBytes(32), Buffer.from("first"));
    await opened.until(() => sessions[0]?.received.toString() === "first");
    sessions[0]?.stream.end("bye");
    await host.hears(Buffer.from("bye"));
    const nonce = randomBytes(32);
    await host.send(Buffer.from("to nobody"), KEY, nonce, Buffer.from("second"));
    await opened.until(() => sessions[1]?.received.toString() === "second");
    await host.hears(nonce);
    expect(sessions).toHaveLength(2);
  });

  test("a message that ends with the key's first bytes is passed on at once", async () => {
    for (let length = 1; length < 8; length++) {
      await using opened = await open();
      const host = await opened.come();
      const message = Buffer.concat([Buffer.from("message"), KEY.subarray(0, length)]);
      await host.send(KEY, randomBytes(32), message);
      await opened.until(() => opened.sessions[0]?.received.length === message.length);
      expect(opened.sessions[0]?.received).toEqual(message);
    }
  });

  test("the end of a torn key means nothing when its beginning came from another host", async () => {
    await using opened = await open();
    const first = await opened.come();
    first.socket.end(KEY.subarray(0, 20));
    await once(first.socket, "close");
    const host = await opened.come();
    const nonce = randomBytes(32);
    await host.send(KEY.subarray(20), randomBytes(32), KEY, nonce);
    await host.hears(nonce);
    expect(host.received).toEqual(nonce);
  });

  test("what the old session still wanted to say is not said to the new host", async () => {
    await using opened = await open();
    const { sessions } = opened;
    const host = await opened.come();
    host.socket.pause();
    await host.send(KEY, randomBytes(32));
    await opened.until(() => sessions.length === 1);
    const [old] = sessions;
    await new Promise((resolve) => old?.stream.write(Buffer.alloc(3 * MIB, "x"), resolve));
    const nonce = randomBytes(32);
    await host.send(KEY, nonce);
    await opened.until(() => sessions.length === 2);
    sessions[1]?.stream.write("fresh");
    host.socket.resume();
    await host.hears(Buffer.from("fresh"));
    const at = host.received.indexOf(nonce);
    // What is in the port already cannot be called back; the rest was.
    expect(at).toBeLessThan(MIB);
    expect(host.received.subarray(at + 32).toString()).toBe("fresh");
  });
});

describe("keys", () => {
  test("a new one counts from the next session on", async () => {
    await using opened = await open();
    const { sessions, channel } = opened;
    const host = await opened.come();
    await host.send(KEY, randomBytes(32), Buffer.from("one "));
    await opened.until(() => sessions[0]?.received.toString() === "one ");
    const key = randomBytes(32);
    channel.setKey(key);
    await host.send(Buffer.from("goes on "), KEY, key, randomBytes(32), Buffer.from("two"));
    await opened.until(() => sessions[1]?.received.toString() === "two");
    expect(sessions[0]?.received.toString()).toBe(`one goes on ${KEY.toString()}`);
    expect(sessions).toHaveLength(2);
  });

  test("one within a session counts after that one, whichever is known first", async () => {
    for (const isKnownBefore of [true, false]) {
      await using opened = await open();
      const { sessions, channel } = opened;
      const host = await opened.come();
      const [key, nonce] = [randomBytes(32), randomBytes(32)];
      if (isKnownBefore) channel.setKeyWithin(nonce, key);
      await host.send(KEY, randomBytes(32), Buffer.from("before"));
      await opened.until(() => sessions[0]?.received.toString() === "before");
      await host.send(KEY, nonce, Buffer.from("within"));
      await opened.until(() => sessions[1]?.received.toString() === "within");
      if (!isKnownBefore) channel.setKeyWithin(nonce, key);
      await host.send(key, randomBytes(32), Buffer.from("after"));
      await opened.until(() => sessions[2]?.received.toString() === "after");
      expect(sessions).toHaveLength(3);
    }
  });

  test("no other user can open a session, and no key is in an argument", async () => {
    await using opened = await open();
    expect((await stat(opened.place)).mode & 0o777).toBe(0o700);
    for (const name of await readdir("/proc")) {
      const line = await readFile(`/proc/${name}/cmdline`, "latin1").catch(() => "");
      expect(line).not.toContain(KEY.toString());
    }
    expect(opened.sessions).toHaveLength(0);
  });
});

describe("bytes", () => {
  /** Bytes that show where they come from, sent in pieces of every size. */
  async function send(socket: Socket, length: number, seed: number): Promise<Buffer> {
    const bytes = Buffer.alloc(length);
    for (let at = 0; at < length; at += 4)
      bytes.writeUInt32LE((at * 2_654_435_761 + seed) >>> 0, at);
    for (let at = 0, size = 1; at < length; at += size, size = 1 + ((size * 7919) % 150_000)) {
      if (!socket.write(bytes.subarray(at, at + size))) await once(socket, "drain");
    }
    return bytes;
  }

  test("go both ways at once, and none is lost or reordered", async () => {
    await using opened = await open();
    const host = await opened.come();
    await host.send(KEY, randomBytes(32));
    await opened.until(() => opened.sessions.length === 1);
    const [session] = opened.sessions;
    if (session === undefined) throw new Error("no session");
    const down = send(host.socket, 8 * MIB, 1);
    const up = send(session.stream, 8 * MIB, 2);
    await opened.until(() => session.received.length === 8 * MIB);
    await host.hearsSoMuch(32 + 8 * MIB);
    expect(session.received.equals(await down)).toBe(true);
    expect(host.received.subarray(32).equals(await up)).toBe(true);
  });

  test("are taken from a host only while the session consumes", async () => {
    await using opened = await open(false);
    const host = await opened.come();
    await host.send(KEY, randomBytes(32));
    const sending = send(host.socket, 8 * MIB, 3);
    await opened.until(() => opened.sessions.length === 1);
    // The sender waits: of so much, a program that did not would have taken all.
    await expect.poll(() => host.socket.writableLength).toBeGreaterThan(0);
    expect(host.socket.bytesWritten - host.socket.writableLength).toBeLessThan(2 * MIB);
    const pieces: Buffer[] = [];
    let length = 0;
    const { stream } = opened.sessions[0] ?? {};
    stream?.on("data", (piece: Buffer) => {
      pieces.push(piece);
      length += piece.length;
    });
    stream?.resume();
    const sent = await sending;
    await expect.poll(() => length).toBe(sent.length);
    expect(Buffer.concat(pieces).equals(sent)).toBe(true);
  });

  test("are taken from a session though the host does not read, but not without a bound", async () => {
    await using opened = await open();
    const host = await opened.come();
    host.socket.pause();
    await host.send(KEY, randomBytes(32));
    await opened.until(() => opened.sessions.length === 1);
    const { stream } = opened.sessions[0] ?? {};
    if (stream === undefined) throw new Error("no session");
    // What HTTP/2 may have under way, so that it is never kept from reading.
    stream.write(Buffer.alloc(4 * MIB));
    await once(stream, "drain");
    stream.write(Buffer.alloc(16 * MIB));
    await expect.poll(() => stream.writableLength).toBeGreaterThan(0);
    host.socket.resume();
    await once(stream, "drain");
    await host.hearsSoMuch(32 + 20 * MIB);
    // What it has kept for so long it gives back.
    await expect.poll(() => residentKib(opened.place)).toBeLessThan(1024);
  });
});

test("an agent that ends takes the program with it, and the host learns of it", async () => {
  const opened = await open();
  const host = await opened.come();
  const closed = once(host.socket, "close");
  await opened[Symbol.asyncDispose]();
  await closed;
  await expect(opened.channel.lost).rejects.toThrow(/ended with SIGKILL/);
});
