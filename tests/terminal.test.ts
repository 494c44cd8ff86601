import type { Machine, PtySession } from "@nullspace/sdk";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";

let home: string;
let server: TestServer;
let machine: Machine;

beforeAll(async () => {
  home = await linkHome(inject("preparedHome"));
  server = await startServer({ home });
  machine = await server.client.machines.create({ timeoutSeconds: 0 });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await removeHome(home);
});

/** Reads a session until its output has matched; the loop ends with it. */
async function readUntil(session: PtySession, wanted: RegExp): Promise<string> {
  let text = "";
  for await (const piece of session) {
    text += piece.text;
    if (wanted.test(text)) return text;
  }
  throw new Error(`the session ended without ${String(wanted)}:\n${text}`);
}

/** The first thing that somebody sees who connects now. */
async function screenNow(id: string): Promise<string> {
  await using session = await machine.pty.connect(id);
  for await (const { kind, text } of session) if (kind === "screen") return text;
  throw new Error("the session showed no screen");
}

test("a shell: echo, size, resize, exit code", async () => {
  const shell = await machine.pty.create({
    command: "bash",
    args: ["--norc"],
    cols: 100,
    rows: 30,
  });
  await shell.sendInput("stty size; tty\r");
  expect(await readUntil(shell, /30 100\s+\/dev\/pts\/\d/)).toContain("30 100");
  await shell.resize({ cols: 120, rows: 40 });
  await shell.sendInput("stty size\r");
  await readUntil(shell, /40 120/);
  await shell.sendInput("sleep 1000\r\x03exit 7\r");
  expect(await shell.wait()).toMatchObject({ exitCode: 7 });
});

test("less pages, and vi edits; whoever connects sees the screen as it is", async () => {
  const lines = Array.from({ length: 200 }, (_, index) => `row ${index + 1}`).join("\n");
  await machine.files.write("rows.txt", `${lines}\n`);
  const less = await machine.pty.create({ command: "less", args: ["rows.txt"], rows: 20 });
  await readUntil(less, /row 19\b/);
  await less.sendInput(" ");
  await readUntil(less, /row 38\b/);
  const paged = await screenNow(less.id);
  expect(paged).toMatch(/row 38\b/);
  expect(paged).not.toMatch(/row 1\b/);
  await less.sendInput("q");
  expect(await less.wait()).toMatchObject({ exitCode: 0 });

  const vi = await machine.pty.create({ command: "vi", args: ["rows.txt"], rows: 24 });
  await readUntil(vi, /row 20\b/);
  await vi.sendInput("dGihello from vi\x1b");
  await readUntil(vi, /hello from vi/);
  const edited = await screenNow(vi.id);
  expect(edited).toContain("hello from vi");
  expect(edited).not.toContain("row 5");
  await vi.sendInput(":wq\r");
  expect(await vi.wait()).toMatchObject({ exitCode: 0 });
  expect(await machine.files.read("rows.txt")).toBe("hello from vi\n");
});

test("a session outlives a restart of the server, and is repainted", async () => {
  const { id, pid } = await machine.pty.create({
    command: "bash",
    args: ["--norc", "-c", "echo marked; read line; echo got $line; exit 3"],
  });
  await server.stop();
  server = await startServer({ home });
  machine = await server.client.machines.connect(machine.id);
  const session = await machine.pty.connect(id);
  expect(session.pid).toBe(pid);
  await readUntil(session, /marked/);
  await session.sendInput("it\r");
  const text = await readUntil(session, /got it/);
  expect(text).toContain("got it");
  expect(await session.wait()).toMatchObject({ exitCode: 3 });
});
