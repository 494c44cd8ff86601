import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CommandHandle, Machine } from "@nullspace/sdk";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { ClientTerminal } from "./support/client-terminal.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";

/** Counts for some seconds, a line at a time. */
const LAST = 250;
const PROGRAM = `import time
for i in range(1, ${LAST} + 1):
    print("line", i, flush=True)
    time.sleep(0.02)`;
const COUNT = `python3 -c '${PROGRAM}'`;
const COUNTED = Array.from({ length: LAST }, (_, index) => `line ${index + 1}\n`).join("");

let home: string;
let local: string;
let server: TestServer;
let machine: Machine;

beforeAll(async () => {
  home = await linkHome(inject("preparedHome"));
  local = await mkdtemp(join(tmpdir(), "nullspace-local-"));
  server = await startServer({ home });
  machine = await server.client.machines.create({ timeoutSeconds: 0 });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await removeHome(home);
  await rm(local, { recursive: true, force: true });
});

/** Ends the server as a crash does, and starts it where its clients look for it. */
async function crashAndReturn(): Promise<void> {
  const { port } = new URL(server.url);
  await server.crash();
  server = await startServer({ home, args: ["--port", port] });
}

/** Resolves with the first piece that a stream gives, while a loop over it goes on. */
function follow<T>(stream: AsyncIterable<T>, see: (value: T) => void) {
  const begun = Promise.withResolvers<void>();
  const ended = (async () => {
    for await (const value of stream) {
      see(value);
      begun.resolve();
    }
  })();
  // Also handles it until the test looks at it.
  ended.catch(begun.reject);
  return { begun: begun.promise, ended };
}

test("streams of every kind go on through a crash of the server, none of them doubled or short", async () => {
  const content = randomBytes(5_000_000);
  const sum = createHash("sha256").update(content).digest("hex");
  await writeFile(join(local, "up"), content);
  await machine.files.uploadFile(join(local, "up"), "down");
  await machine.files.makeDir("watched");

  const begun = Promise.withResolvers<void>();
  let text = "";
  const foreground = machine.commands.run(`${COUNT}; exit 3`, {
    onStdout: (piece) => {
      text += piece;
      begun.resolve();
    },
  });
  const handle = await machine.commands.run(COUNT, { background: true });
  let next = 0;
  const background = follow(handle, ({ offset, data, droppedBytes }) => {
    expect([offset, droppedBytes]).toEqual([next, 0]);
    next += data.length;
  });
  const shell = await machine.pty.create({ command: "bash", args: ["--norc"] });
  await using terminal = new ClientTerminal(shell);
  await terminal.type("echo be''fore\r", /^before/m);
  await using watch = machine.files.watch("watched");
  await watch.ready;
  const [sending, receiving] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const uploaded = machine.files.uploadFile(join(local, "up"), "up", {
    onProgress: () => sending.resolve(),
  });
  const downloaded = machine.files.downloadFile("down", join(local, "down"), {
    onProgress: () => receiving.resolve(),
  });
  const read = machine.files.read("down", { format: "bytes" });
  await Promise.all([begun.promise, background.begun, sending.promise, receiving.promise]);

  await crashAndReturn();

  expect(await foreground).toMatchObject({ exitCode: 3, droppedBytes: 0 });
  expect(text).toBe(COUNTED);
  await background.ended;
  expect(next).toBe(COUNTED.length);
  expect((await handle.wait()).stdout).toBe(COUNTED);
  await terminal.type("echo af''ter\r", /^before[^]*^after/m);
  const events = watch[Symbol.asyncIterator]();
  expect((await events.next()).value).toEqual({ type: "resyncRequired" });
  await machine.files.write("watched/later", "");
  expect((await events.next()).value).toMatchObject({ path: "/workspace/watched/later" });
  expect((await uploaded).sha256).toBe(sum);
  await downloaded;
  expect((await readFile(join(local, "down"))).equals(content)).toBe(true);
  expect(Buffer.compare(await read, content)).toBe(0);
});

test("a pause in the middle of streams is told, and they go on in the machine that is resumed", async () => {
  const counting = await machine.commands.run(COUNT, { background: true });
  let [text, seen] = ["", 0];
  const loop = follow(counting, (piece) => {
    text += piece.text;
    seen = piece.offset + piece.data.length;
  });
  const waiting = machine.commands.run("exec sleep 1000");
  waiting.catch(() => undefined);
  const session = await machine.pty.create({ command: "bash", args: ["--norc"] });
  {
    await using terminal = new ClientTerminal(session);
    await terminal.type("echo be''fore\r", /^before/m);
  }
  const typing = follow(await machine.pty.connect(session.id), () => undefined);
  await Promise.all([loop.begun, typing.begun]);

  await machine.pause();

  const paused = { name: "ConflictError", reason: "MACHINE_NOT_RUNNING" };
  await expect(loop.ended).rejects.toMatchObject(paused);
  await expect(typing.ended).rejects.toMatchObject(paused);
  await expect(waiting).rejects.toMatchObject(paused);
  await expect(counting.wait()).rejects.toMatchObject({ ...paused, details: { state: "paused" } });

  machine = await server.client.machines.connect(machine.id);
  const goesOn: CommandHandle = await machine.commands.connect(counting.pid, { offset: seen });
  for await (const piece of goesOn) {
    expect(piece.offset).toBe(seen);
    seen += piece.data.length;
    text += piece.text;
  }
  expect(text).toBe(COUNTED);
  await using terminal = new ClientTerminal(await machine.pty.connect(session.id));
  await terminal.shows(/^before/m);
  await terminal.type("echo af''ter\r", /^after/m);
});
