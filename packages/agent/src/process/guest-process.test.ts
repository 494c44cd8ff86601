import { execFileSync } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { GuestProcess } from "./guest-process.js";
import { Stdio } from "./stdio.js";

const DESCRIPTION = { command: "x", args: [], cwd: "/", user: "root", startedAt: 0 };

let folder: string;
/** A process's end of its standard output, which a daemon holds open. */
let output: number;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "guest-process-"));
  const pipe = join(folder, "pipe");
  execFileSync("mkfifo", [pipe]);
  output = openSync(pipe, constants.O_RDWR);
});
afterEach(() => {
  closeSync(output);
  rmSync(folder, { recursive: true });
});

/** All that this process does for a while: nothing. */
function block(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

function start(): GuestProcess {
  const held = { pid: 0, stdin: -1, stdout: output, stderr: -1 };
  const stdio = new Stdio(process.pid, held, () => undefined);
  return new GuestProcess(0, DESCRIPTION, stdio, false);
}

async function read(process: GuestProcess): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const { event } of process.follow(0, new AbortController().signal)) {
    if (event?.case === "output") pieces.push(event.value.data ?? new Uint8Array());
  }
  return Buffer.concat(pieces);
}

test("an agent too busy to look into the pipes in time loses nothing of what is in them", async () => {
  const said = Buffer.alloc(60_000, "said");
  const process = await new Promise<GuestProcess>((resolve) => {
    // From here the timers come before the pipes.
    setImmediate(() => {
      writeSync(output, said);
      const started = start();
      started.onExit({ code: 0, signal: 0 });
      block(400);
      resolve(started);
    });
  });
  expect((await read(process)).equals(said)).toBe(true);
});

test("a daemon that goes on writing does not hold up the end", async () => {
  const process = start();
  const writing = setInterval(() => writeSync(output, Buffer.alloc(1000)), 0);
  process.onExit({ code: 3, signal: 0 });
  await read(process);
  clearInterval(writing);
  expect(process.exit).toMatchObject({ exitCode: 3 });
});
