import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CancelledError, ConflictError, InvalidArgumentError, NotFoundError } from "../errors.js";
import type { Machine } from "../machine.js";
import { Nullspace } from "../nullspace.js";
import { FakeServer } from "../testing/fake-server.js";
import type { PtyOutput } from "./options.js";
import type { PtySession } from "./session.js";

let server: FakeServer;
let client: Nullspace;
let machine: Machine;
beforeAll(async () => {
  server = await FakeServer.start();
  client = new Nullspace(server);
  machine = await client.machines.create();
});
afterAll(async () => {
  client.close();
  await server[Symbol.asyncDispose]();
});
beforeEach(() => {
  server.onCall = undefined;
  server.onAnswer = undefined;
});

/** Reads what a session sends until some text has come. */
async function readUntil(session: PtySession, wanted: string): Promise<PtyOutput[]> {
  const outputs: PtyOutput[] = [];
  for await (const output of session) {
    outputs.push(output);
    if (
      outputs
        .map(({ text }) => text)
        .join("")
        .includes(wanted)
    )
      return outputs;
  }
  throw new Error(`the session ended before ${wanted}`);
}

describe("a session", () => {
  test("is created as told, and read from its first byte to its end", async () => {
    const session = await machine.pty.create({
      command: "vim",
      args: ["a b"],
      cols: 100,
      cwd: "/tmp",
      user: "root",
      envs: { LANG: "C" },
    });
    expect(server.ptys.find(session.id).request).toMatchObject({
      command: "vim",
      args: ["a b"],
      exec: true,
      cwd: "/tmp",
      user: "root",
      envs: { LANG: "C" },
      size: { cols: 100, rows: 24 },
    });
    const bytes = new TextEncoder().encode("naïve €");
    server.ptys.write(session.id, bytes.subarray(0, 3));
    const reading = readUntil(session, "€");
    server.ptys.write(session.id, bytes.subarray(3, 8));
    server.ptys.write(session.id, bytes.subarray(8));
    const outputs = await reading;
    expect(outputs.map(({ text }) => text).join("")).toBe("naïve €");
    expect(outputs.every(({ kind }) => kind === "output")).toBe(true);
    server.ptys.end(session.id, 3);
    expect(await session.wait()).toEqual({ exitCode: 3, signal: undefined });
  });

  test("is connected to with its screen, and takes on the newest size", async () => {
    const created = await machine.pty.create();
    await created.sendInput("hello");
    const session = await machine.pty.connect(created.id, { cols: 50, answersQueries: true });
    const [first] = await readUntil(session, "hello");
    expect(first).toMatchObject({ kind: "screen", text: "<screen hello>", size: { cols: 50 } });
    expect(server.ptys.connects.at(-1)).toMatchObject({ answersQueries: true });
    const reading = readUntil(session, "more");
    await expect.poll(() => server.ptys.connects.length).toBeGreaterThan(1);
    await session.resize({ cols: 60, rows: 20 });
    server.ptys.write(created.id, "more");
    await reading;
    expect(server.ptys.find(created.id).size).toMatchObject({ cols: 60, rows: 20 });
    await expect(machine.pty.connect("pty_none")).rejects.toThrow(NotFoundError);
  });

  test("is listed and killed", async () => {
    const { id } = await machine.pty.create({ command: "top" });
    const find = async () => (await machine.pty.list()).find((session) => session.id === id);
    expect(await find()).toMatchObject({ command: "top", cols: 80, rows: 24, running: true });
    await machine.pty.kill(id, "SIGHUP");
    expect(await find()).toMatchObject({
      running: false,
      exit: { exitCode: 137, signal: "SIGHUP" },
    });
    await expect(machine.pty.kill(id)).rejects.toThrow(ConflictError);
    await expect(machine.pty.create({ args: ["x"] })).rejects.toThrow(InvalidArgumentError);
  });

  test("is made once, though its answer was lost", async () => {
    const before = (await machine.pty.list()).length;
    let lost = false;
    server.onAnswer = (method) => {
      if (method !== "Create" || lost) return;
      lost = true;
      throw new Fault(ErrorReason.AGENT_UNREACHABLE, "the answer is lost");
    };
    await machine.pty.create();
    expect(await machine.pty.list()).toHaveLength(before + 1);
  });

  test("goes on where it was when the connection is lost", async () => {
    const session = await machine.pty.create();
    const waiting = session.wait();
    let text = "";
    const reading = (async () => {
      for await (const output of session) text += output.text;
    })();
    server.ptys.write(session.id, "before ");
    await expect.poll(() => text).toBe("before ");
    server.dropConnections();
    server.ptys.write(session.id, "after");
    await expect.poll(() => text).toBe("before after");
    server.ptys.end(session.id, 0);
    await reading;
    expect(await waiting).toMatchObject({ exitCode: 0 });
  });

  test("lives on when it is disconnected", async () => {
    const session = await machine.pty.create();
    const waiting = session.wait();
    const reading = readUntil(session, "never").catch((error: unknown) => String(error));
    await expect.poll(() => server.ptys.connects.at(-1)?.sessionId).toBe(session.id);
    session.disconnect();
    await expect(waiting).rejects.toThrow(CancelledError);
    expect(await reading).toContain("ended before never");
    expect(server.ptys.find(session.id).exit).toBeUndefined();
  });
});

describe("input", () => {
  test("keeps its order and is typed once, though calls overtake each other and answers are lost", async () => {
    const session = await machine.pty.create();
    let calls = 0;
    server.onCall = async (method) => {
      if (method !== "SendInput") return;
      // The earlier a call comes, the later it is handled.
      const place = calls++ % 8;
      for (let i = place; i < 8; i++) await new Promise((resolve) => setImmediate(resolve));
    };
    let answers = 0;
    server.onAnswer = (method) => {
      if (method !== "SendInput" || ++answers % 5 !== 0) return;
      throw new Fault(ErrorReason.AGENT_UNREACHABLE, "the answer is lost");
    };
    const words = Array.from({ length: 40 }, (_, i) => `word${i} `);
    await Promise.all(words.map((word) => session.sendInput(word)));
    expect(server.ptys.find(session.id).output.toString()).toBe(words.join(""));
    expect(server.ptys.inputs).toBeGreaterThan(words.length);
  });

  test("of any size arrives whole", async () => {
    const session = await machine.pty.create();
    const data = new Uint8Array(300_000).map((_, i) => i % 251);
    await session.sendInput(data);
    expect(server.ptys.find(session.id).output.equals(data)).toBe(true);
  });

  test("that is lost takes what came after it along, and nothing later", async () => {
    const session = await machine.pty.create();
    const controller = new AbortController();
    const held = Promise.withResolvers<void>();
    server.onCall = (method) => (method === "SendInput" ? held.promise : undefined);
    const first = session.sendInput("lost", { signal: controller.signal });
    const second = session.sendInput("after");
    controller.abort();
    await expect(first).rejects.toThrow(CancelledError);
    await expect(second).rejects.toMatchObject({ name: "UnavailableError", retryable: true });
    server.onCall = undefined;
    await session.sendInput("later");
    expect(server.ptys.find(session.id).output.toString()).toBe("later");
    held.resolve();
  });

  test("to a program that has ended is refused", async () => {
    const session = await machine.pty.create();
    server.ptys.end(session.id, 0);
    await expect(session.sendInput("x")).rejects.toMatchObject({
      name: "ConflictError",
      reason: "PTY_ENDED",
    });
  });
});
