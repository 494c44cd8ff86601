import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { helperProgram } from "../helper/program.js";
import { PortPump } from "./port-pump.js";

const PROGRAM = join(dirname(helperProgram()), "channel-pump");
const MIB = 1 << 20;

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "nullspace-pump-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** A pump between a socket in the place of the port, and one in the place of the agent. */
async function open() {
  const [portPath, agentPath] = [join(folder, "port"), join(folder, "agent")];
  const [port, agent] = await Promise.all([listen(portPath), listen(agentPath)]);
  const pump = new PortPump(PROGRAM, portPath, agentPath);
  const host = await accept(port);
  return {
    host,
    lost: pump.lost,
    meetAgent: () => accept(agent),
    async [Symbol.asyncDispose]() {
      host.destroy();
      agent.close();
      port.close();
      await pump[Symbol.asyncDispose]();
    },
  };
}

async function listen(path: string): Promise<Server> {
  const server = createServer({ pauseOnConnect: true });
  server.listen(path);
  await once(server, "listening");
  return server;
}

function accept(server: Server): Promise<Socket> {
  return new Promise((resolve) => server.once("connection", resolve));
}

/** Bytes that show where they come from, sent in pieces of every size. */
async function send(socket: Socket, length: number, seed: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at += 4) bytes.writeUInt32LE((at * 2_654_435_761 + seed) >>> 0, at);
  for (let at = 0, size = 1; at < length; at += size, size = 1 + ((size * 7919) % 150_000)) {
    if (!socket.write(bytes.subarray(at, at + size))) await once(socket, "drain");
  }
  return bytes;
}

/** What comes first, or up to the end. */
function receive(socket: Socket, length: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let size = 0;
  return new Promise((resolve) => {
    const done = () => {
      socket.off("data", take);
      resolve(Buffer.concat(pieces));
    };
    const take = (piece: Buffer) => {
      pieces.push(piece);
      size += piece.length;
      if (size >= length) done();
    };
    socket.on("data", take);
    socket.once("end", done);
    // It was accepted paused: what came before anybody listened would be lost.
    socket.resume();
  });
}

test("carries both directions at once, and loses and reorders nothing", async () => {
  await using opened = await open();
  const { host } = opened;
  const meeting = opened.meetAgent();
  const down = send(host, 8 * MIB, 1);
  const agent = await meeting;
  const up = send(agent, 8 * MIB, 2);
  const [arrived, answered] = await Promise.all([receive(agent, 8 * MIB), receive(host, 8 * MIB)]);
  expect(arrived.equals(await down)).toBe(true);
  expect(answered.equals(await up)).toBe(true);
  agent.destroy();
});

test("holds little while nobody reads, and goes on when somebody does", async () => {
  await using opened = await open();
  const { host } = opened;
  const meeting = opened.meetAgent();
  const sending = send(host, 8 * MIB, 3);
  const agent = await meeting;
  // The sender waits: of so much, a pump that did not would have taken all.
  await expect.poll(() => host.writableLength).toBeGreaterThan(0);
  expect(host.bytesWritten - host.writableLength).toBeLessThan(2 * MIB);
  expect((await receive(agent, 8 * MIB)).equals(await sending)).toBe(true);
  agent.destroy();
});

test("ends with the agent's end, so that the host learns of it", async () => {
  await using opened = await open();
  const { host, lost } = opened;
  const meeting = opened.meetAgent();
  host.write("x");
  (await meeting).destroy();
  await expect(lost).rejects.toThrow(/channel-pump ended with/);
  host.resume();
  await once(host, "close");
});

test("hands the agent all that a host said before it went, and then that it is gone", async () => {
  await using opened = await open();
  const { host } = opened;
  const meeting = opened.meetAgent();
  host.end("last words");
  const agent = await meeting;
  expect((await receive(agent, Number.POSITIVE_INFINITY)).toString()).toBe("last words");
});
