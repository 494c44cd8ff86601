import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { PtyServiceCreateRequestSchema, StartRequestSchema } from "@nullspace/proto/agent";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { StateStore } from "../guest/state.js";
import { UserDatabase } from "../guest/users.js";
import { ProcessTable } from "../process/process-table.js";
import { PtyTable } from "../pty/pty-table.js";
import { GuestHelper, HelperError } from "./guest-helper.js";
import { helperProgram } from "./program.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "nullspace-helper-"));
});
afterEach(() => rm(folder, { recursive: true }));

const open = (isTest = true) =>
  GuestHelper.open({
    program: helperProgram(),
    stateFolder: folder,
    root: folder,
    test: isTest,
  });

const fail = (error: unknown) => {
  throw error;
};

function openTable(helper: GuestHelper): ProcessTable {
  const users = new UserDatabase(userInfo().username);
  return new ProcessTable(helper, users, new StateStore(join(folder, "state")), fail);
}

/** The output and end of a process, as a client would see them. */
async function follow(table: ProcessTable, pid: number, offset = 0) {
  const events = table.get(pid).follow(offset, new AbortController().signal);
  const text: string[] = [];
  for await (const { event } of events) {
    if (event?.case === "output") text.push(Buffer.from(event.value.data ?? []).toString());
    if (event?.case === "dropped") text.push("<dropped>");
    if (event?.case === "exit") return { text: text.join(""), exit: event.value };
  }
  throw new Error("no exit");
}

const READER = 'echo first; read word; echo "$word"; exit 4';

/** What an agent does until it is killed, as a program: here its end could not be had. */
const FORMER_AGENT = `
  import { create } from "@bufbuild/protobuf";
  import { StartRequestSchema } from "@nullspace/proto/agent";
  import { StateStore } from "./dist/guest/state.js";
  import { UserDatabase } from "./dist/guest/users.js";
  import { GuestHelper } from "./dist/helper/guest-helper.js";
  import { ProcessTable } from "./dist/process/process-table.js";
  const [, program, folder, user, reader] = process.argv;
  const helper = await GuestHelper.open({ program, stateFolder: folder, root: folder, test: false });
  const table = new ProcessTable(helper, new UserDatabase(user), new StateStore(folder + "/state"), console.error);
  const start = async (command) =>
    (await table.start(create(StartRequestSchema, { command, cwd: "/", stdin: true }))).pid;
  const reading = await start(reader);
  const ended = await start("kill -9 $$");
  for await (const event of table.get(ended).follow(0, new AbortController().signal)) void event;
  const ending = await start("read word; echo last words; exit 9");
  await table.get(ending).sendInput(Buffer.from("x\\n"));
  console.log(JSON.stringify({ helperPid: helper.pid, reading, ended, ending }));
  process.kill(process.pid, "SIGKILL");
`;

interface Left {
  helperPid: number;
  /** Reads a line that nobody has sent yet. */
  reading: number;
  /** Has ended, and the former agent knew. */
  ended: number;
  /** Ends, and perhaps it did not. */
  ending: number;
}

/** Runs the former agent, and says what it left. */
async function crash(): Promise<Left> {
  const args = [helperProgram(), folder, userInfo().username, READER];
  const agent = spawn(process.execPath, ["--input-type=module", "-e", FORMER_AGENT, ...args], {
    cwd: fileURLToPath(new URL("../..", import.meta.url)),
    stdio: ["ignore", "pipe", "inherit"],
  });
  // The helper outlives it, and has its standard error alone.
  const left = await text(agent.stdout);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- It is what the program above prints.
  return JSON.parse(left) as Left;
}

test("an agent that is restarted finds the processes of the former one, their output and their ends", async () => {
  const { helperPid, reading, ended, ending } = await crash();
  const helper = await open(false);
  try {
    expect(helper.pid).toBe(helperPid);
    const table = openTable(helper);
    expect(table.list().map((process) => process.pid)).not.toContain(ended);
    expect(table.get(reading).describe()).toMatchObject({ command: READER, cwd: "/" });
    await table.get(reading).sendInput(Buffer.from("second\n"));
    const { text: output, exit } = await follow(table, reading, 100_000);
    expect(output).toMatch(/^<dropped>(first\n)?second\n$/);
    expect(exit.exitCode).toBe(4);
    expect((await follow(table, ending)).exit.exitCode).toBe(9);
  } finally {
    process.kill(helper.pid, "SIGKILL");
    await expect(helper.lost).rejects.toThrow(/ended/);
  }
});

describe("a terminal", () => {
  const openPtys = (helper: GuestHelper, table: ProcessTable) => {
    const users = new UserDatabase(userInfo().username);
    return { helper, ptys: new PtyTable(table, users, fail) };
  };

  test("outlives the agent, and its session is found by the next", async () => {
    const first = await open(false);
    const { ptys } = openPtys(first, openTable(first));
    const command = "trap 'echo redrawn' WINCH; echo first; while ! read word; do :; done; exit 6";
    const { id } = await ptys.create(create(PtyServiceCreateRequestSchema, { command, cwd: "/" }));
    await first[Symbol.asyncDispose]();

    const second = await open(false);
    try {
      const again = openPtys(second, openTable(second)).ptys;
      await expect.poll(() => again.list().map((session) => session.id)).toEqual([id]);
      const session = again.get(id);
      expect(session.describe()).toMatchObject({ command, size: { cols: 80, rows: 24 } });
      const { signal } = new AbortController();
      await session.send("writer", 1n, Buffer.from("word\n"), () => signal);
      expect((await session.exit(signal)).exitCode).toBe(6);
    } finally {
      process.kill(second.pid, "SIGKILL");
      await expect(second.lost).rejects.toThrow(/ended/);
    }
  });

  test("leaves no descriptor behind in the helper", async () => {
    await using helper = await open();
    const { ptys } = openPtys(helper, openTable(helper));
    const count = async () => (await readdir(`/proc/${helper.pid}/fd`)).length;
    const before = await count();
    const { signal } = new AbortController();
    for (let i = 0; i < 100; i++) {
      const request = { command: "echo hello", cwd: "/" };
      const session = await ptys.create(create(PtyServiceCreateRequestSchema, request));
      await session.exit(signal);
    }
    const failing = { command: "/no/such", exec: true, cwd: "/" };
    await expect(ptys.create(create(PtyServiceCreateRequestSchema, failing))).rejects.toThrow(
      /cannot run/,
    );
    await expect.poll(count).toBe(before);
    expect(ptys.list()).toHaveLength(16);
  });

  test("is asked for of a process without one in vain", async () => {
    await using helper = await open();
    await expect(helper.request("resize", "1", "80", "24")).rejects.toMatchObject({ errno: 3 });
  });
});

test("a thousand processes leave no descriptor behind in the helper", async () => {
  await using helper = await open();
  const table = openTable(helper);
  const count = async () => (await readdir(`/proc/${helper.pid}/fd`)).length;
  const before = await count();
  for (let i = 0; i < 100; i++) {
    const started = Array.from({ length: 10 }, () =>
      table.start(
        create(StartRequestSchema, { command: "true", exec: true, cwd: "/", stdin: true }),
      ),
    );
    await Promise.all(started.map(async (one) => follow(table, (await one).pid)));
  }
  for (let i = 0; i < 5; i++) {
    const failing = create(StartRequestSchema, {
      command: "/no/such",
      exec: true,
      cwd: "/",
      stdin: true,
    });
    await expect(table.start(failing)).rejects.toThrow("cannot run /no/such");
  }
  await expect.poll(count).toBe(before);
}, 30_000);

test("a verb that it does not know, or cannot do, is an error with its number", async () => {
  await using helper = await open();
  await expect(helper.request("fly")).rejects.toThrow(HelperError);
  await expect(helper.request("release", "1")).rejects.toMatchObject({ step: "release", errno: 3 });
  await expect(helper.request("reseed", "00")).rejects.toMatchObject({ step: "reseed", errno: 22 });
  await expect(helper.request("sync")).resolves.toEqual([]);
});

test("survives whatever is sent to it", async () => {
  const helper = await open(false);
  const frames = fc.array(fc.uint8Array({ maxLength: 100 }), { maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(frames, fc.uint8Array({ maxLength: 8 }), async (whole, torn) => {
      const socket = connect(join(folder, "helper.sock"));
      await once(socket, "connect");
      // Not `once`, which rejects at an error: the helper may hang up before it has read everything.
      const gone = new Promise((resolve) => socket.once("close", resolve));
      socket.on("error", () => socket.destroy());
      socket.resume();
      for (const frame of whole) {
        const header = Buffer.alloc(4);
        header.writeUInt32LE(frame.length);
        socket.write(Buffer.concat([header, frame]));
      }
      socket.end(torn);
      await gone;
    }),
    { numRuns: 50 },
  );
  await using next = await open(false);
  expect(next.pid).toBe(helper.pid);
  await expect(next.request("sync")).resolves.toEqual([]);
  process.kill(helper.pid, "SIGKILL");
});
