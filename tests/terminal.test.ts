import type { Machine, PtySession } from "@nullspace/sdk";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { ClientTerminal } from "./support/client-terminal.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";

const SIZE = { cols: 80, rows: 24 };

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

async function open(command: string, args: string[] = []): Promise<ClientTerminal> {
  return new ClientTerminal(await machine.pty.create({ command, args, ...SIZE }), SIZE);
}

/** Somebody else who looks at a session, and now sees what the first one sees. */
async function expectSameForNewcomer(terminal: ClientTerminal): Promise<void> {
  const session = await machine.pty.connect(terminal.session.id);
  await using newcomer = new ClientTerminal(session, { cols: 10, rows: 5 });
  await expect.poll(() => newcomer.state).toEqual(terminal.state);
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
  await shell.sendInput("echo sl''eeping; sleep 1000\r");
  await readUntil(shell, /sleeping/);
  await shell.sendInput("\x03");
  await shell.sendInput("exit 7\r");
  expect(await shell.wait()).toMatchObject({ exitCode: 7 });
});

test("vim edits, and follows a new size", async () => {
  await machine.files.write("text.txt", "first line\nsecond line\n");
  await using vim = await open("vim", ["text.txt"]);
  await vim.shows("second line");
  await vim.type("Ohello from vim", "-- INSERT --");
  await vim.session.sendInput("\x1b");
  await vim.session.resize({ cols: 60, rows: 15 });
  // Its last line is the terminal's last one again.
  await vim.type(":set number\r", /1 hello from vim/);
  await expect.poll(() => vim.lines.at(-1)).toContain(":set number");
  expect(vim.state).toMatchObject({ kind: "alternate", cols: 60, rows: 15 });
  await expectSameForNewcomer(vim);
  await vim.session.sendInput(":wq\r");
  expect(await vim.session.wait()).toMatchObject({ exitCode: 0 });
  expect(await machine.files.read("text.txt")).toBe("hello from vim\nfirst line\nsecond line\n");
});

test("less pages, searches, and follows a new size", async () => {
  const lines = Array.from({ length: 200 }, (_, index) => `row ${index + 1}`).join("\n");
  await machine.files.write("rows.txt", `${lines}\n`);
  await using less = await open("less", ["rows.txt"]);
  await less.shows(/row 23$/m);
  await less.type(" ", /row 46$/m);
  await less.session.resize({ cols: 40, rows: 10 });
  await less.type("/row 150\r", /^row 150$/m);
  await expect.poll(() => less.lines[0]).toBe("row 150");
  expect(less.lines[8]).toBe("row 158");
  await expectSameForNewcomer(less);
  await less.session.sendInput("q");
  expect(await less.session.wait()).toMatchObject({ exitCode: 0 });
});

test("htop draws the machine's processes, and follows a new size", async () => {
  const sleeper = await machine.commands.run("exec sleep 98765", { background: true });
  await using htop = await open("htop", ["--delay=20"]);
  await htop.shows(/Load average/);
  await htop.session.resize({ cols: 110, rows: 40 });
  await expect.poll(() => htop.lines.at(-1)).toMatch(/F1Help.*F10Quit/);
  // Keys reach it: the filter leaves one process, which F9 and Return then end.
  await htop.type("\x1bOS", /Filter/);
  await htop.type("sleep 9876\r", /sleep 98765/);
  await htop.type("\x1b[20~", /Send signal:/);
  await htop.session.sendInput("\r");
  expect(await sleeper.wait()).toMatchObject({ signal: "SIGTERM" });
  await htop.session.sendInput("q");
  expect(await htop.session.wait()).toMatchObject({ exitCode: 0 });
});

test("tmux splits, resizes, is left and found again", async () => {
  await using tmux = await open("tmux", ["-f", "/dev/null", "new-session", "-s", "work", "sh"]);
  await tmux.shows("[work]");
  // What is typed before the shell asks for it is shown before its prompt.
  await tmux.shows(/^\$/m);
  await tmux.type("echo up''per\r", /^upper/m);
  await tmux.type("\x02:", /^:/m);
  await tmux.type("split-window -h sh\r", /│\$/);
  await tmux.session.resize({ cols: 70, rows: 20 });
  await expect.poll(() => tmux.lines.map((line) => line.indexOf("│"))).toContain(35);
  await tmux.type("echo right''hand\r", /^upper +│righthand/m);
  await expectSameForNewcomer(tmux);
  await tmux.session.sendInput("\x02d");
  expect(await tmux.session.wait()).toMatchObject({ exitCode: 0 });
  await using again = await open("tmux", ["attach", "-t", "work"]);
  await again.shows(/^upper +│righthand/m);
  await machine.commands.run("tmux kill-server");
  await again.session.wait();
});

test("a program on the whole screen is there again after a restart of the server", async () => {
  await machine.files.write("kept.txt", "kept\n");
  await using vim = await open("vim", ["-R", "kept.txt"]);
  await vim.shows("kept");
  await vim.type(":set number\r", /1 kept/);
  const { state } = vim;
  vim.session.disconnect();
  await server.stop();
  server = await startServer({ home });
  machine = await server.client.machines.connect(machine.id);
  await using again = new ClientTerminal(await machine.pty.connect(vim.session.id));
  await again.shows(/1 kept/);
  expect(again.paintings).toBe(1);
  expect(again.state).toEqual(state);
  await again.session.sendInput(":q\r");
  expect(await again.session.wait()).toMatchObject({ exitCode: 0 });
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
