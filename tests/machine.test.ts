import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { CommandError, InvalidArgumentError, type Machine, NotFoundError } from "@nullspace/sdk";
import { expectNothingLeft } from "./support/leaks.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ home: await linkHome(inject("preparedHome")) });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await removeHome(server.home);
});

test("create, run, write, read, list, kill, and nothing is left", async () => {
  const { machines } = server.client;
  const machine = await machines.create({ metadata: { purpose: "first" } });

  const uname = await machine.commands.run("uname -s");
  expect(uname).toMatchObject({ exitCode: 0, stdout: "Linux\n", stderr: "" });

  const python = await machine.commands.run("python3", { args: ["-c", "print(6 * 7)"] });
  expect(python.stdout).toBe("42\n");

  await machine.files.write("notes/hello.txt", "grüße\n");
  expect(await machine.files.read("/workspace/notes/hello.txt")).toBe("grüße\n");
  expect((await machine.commands.run("cat notes/hello.txt")).stdout).toBe("grüße\n");

  const listed = await machines.list({ metadata: { purpose: "first" } });
  expect(listed.items.map((item) => item.id)).toEqual([machine.id]);

  await machine.kill();
  await machine.kill();
  expect((await machines.getInfo(machine.id)).state).toBe("killed");
  await expectNothingLeft(server.home, [machine.id]);
});

test("leaving the scope kills the machine", async () => {
  const { machines } = server.client;
  let id: string;
  {
    await using machine = await machines.create();
    id = machine.id;
  }
  expect((await machines.getInfo(id)).state).toBe("killed");
});

test("runOnce cleans up even when its command cannot start", async () => {
  const { machines } = server.client;
  const result = await machines.runOnce("echo", ["one"]);
  expect(result.stdout).toBe("one\n");
  await expect(machines.runOnce("no-such-program", [])).rejects.toBeInstanceOf(
    InvalidArgumentError,
  );
  expect((await machines.list()).items).toEqual([]);
  await expectNothingLeft(server.home);
});

test("a machine has the disk that it asks for, and one made of it a larger one", async () => {
  const { machines } = server.client;
  const rootMb = async (machine: Machine) =>
    Number((await machine.commands.run("df -m --output=size / | tail -1")).stdout);
  await using machine = await machines.create({ diskMb: 3072 });
  expect(await rootMb(machine)).toBeGreaterThan(2800);
  // More than the template's disk holds.
  await machine.commands.run("fallocate -l 2200M /workspace/large").then((it) => it.orThrow());
  const snapshot = await machine.createSnapshot();
  await using larger = await machines.create({ snapshotId: snapshot.id, diskMb: 4096 });
  expect(await rootMb(larger)).toBeGreaterThan(3800);
  expect((await larger.files.info("large")).size).toBe(2200 * 1024 * 1024);
});

describe("in one machine", () => {
  let machine: Machine;

  beforeAll(async () => {
    machine = await server.client.machines.create({
      envs: { GREETING: "hello" },
      cwd: "/tmp",
      timeoutSeconds: 0,
    });
  });

  afterAll(async () => {
    await machine.kill();
  });

  test("its own environment, folder and user apply", async () => {
    const result = await machine.commands.run('echo "$GREETING $EXTRA $(pwd) $(id -un)"', {
      envs: { EXTRA: "world" },
    });
    expect(result.stdout).toBe("hello world /tmp user\n");
    const root = await machine.commands.run("id -un", { user: "root", cwd: "/" });
    expect(root.stdout).toBe("root\n");
  });

  test("a failing command is a result, and an error only on request", async () => {
    const result = await machine.commands.run("echo bad >&2; exit 3");
    expect(result).toMatchObject({ exitCode: 3, stderr: "bad\n" });
    expect(() => result.orThrow()).toThrow(CommandError);
  });

  test("an exit by signal is told apart from an exit code", async () => {
    const result = await machine.commands.run("kill -KILL $$");
    expect(result).toMatchObject({ exitCode: 137, signal: "SIGKILL" });
  });

  test("timeoutMs kills the whole group and says so", async () => {
    const result = await machine.commands.run("sleep 1000 & sleep 1000", { timeoutMs: 500 });
    expect(result.timedOut).toBe(true);
    const left = await machine.commands.run("pgrep", { args: ["-x", "sleep"] });
    expect(left.stdout).toBe("");
  });

  test("aborting a call kills its process", async () => {
    const controller = new AbortController();
    const running = machine.commands.run("echo up; exec sleep 4321", {
      signal: controller.signal,
      onStdout: () => controller.abort(),
    });
    await expect(running).rejects.toMatchObject({ reason: "CANCELLED" });
    const left = await machine.commands.run("while pgrep -f 'sleep [4]321'; do sleep 0.1; done");
    expect(left.exitCode).toBe(0);
  });

  test("output arrives while the command runs", async () => {
    const seen: string[] = [];
    const background = await machine.commands.run("echo one; read line; echo got $line", {
      background: true,
    });
    for await (const { text } of background) {
      seen.push(text);
      if (text.includes("one")) await background.sendStdin("two\n");
    }
    expect(seen.join("")).toBe("one\ngot two\n");
    expect((await background.wait()).exitCode).toBe(0);
  });

  test("binary input and output are intact", async () => {
    const bytes = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
    const result = await machine.commands.run("cat", { stdin: bytes });
    expect(Buffer.from(result.stdoutBytes).equals(bytes)).toBe(true);
  });

  test("files: folders, info, rename, remove", async () => {
    await machine.files.makeDir("/tmp/a/b");
    await machine.files.write("/tmp/a/b/one", new Uint8Array([0, 255, 128]));
    expect(await machine.files.read("/tmp/a/b/one", { format: "bytes" })).toEqual(
      new Uint8Array([0, 255, 128]),
    );
    expect(await machine.files.info("/tmp/a/b/one")).toMatchObject({
      name: "one",
      type: "file",
      size: 3,
      owner: "user",
    });
    await machine.files.rename("/tmp/a/b/one", "/tmp/a/c/two");
    expect(await machine.files.exists("/tmp/a/b/one")).toBe(false);
    const entries = await machine.files.list("/tmp/a", { depth: 2 });
    expect(entries.map((entry) => entry.path)).toEqual(["/tmp/a/b", "/tmp/a/c", "/tmp/a/c/two"]);
    await expect(machine.files.remove("/tmp/a")).rejects.toMatchObject({
      reason: "DIRECTORY_NOT_EMPTY",
    });
    await machine.files.remove("/tmp/a", { recursive: true });
    await expect(machine.files.read("/tmp/a/c/two")).rejects.toBeInstanceOf(NotFoundError);
  });

  test("a large file goes up and down unchanged", async () => {
    const bytes = Buffer.alloc(5_000_000);
    for (let i = 0; i < bytes.length; i += 4) bytes.writeUInt32LE((i * 2654435761) >>> 0, i);
    await machine.files.write("/tmp/large", bytes);
    const back = await machine.files.read("/tmp/large", { format: "bytes" });
    expect(bytes.equals(back)).toBe(true);
    const part = await machine.files.read("/tmp/large", { format: "bytes", offset: 4_999_990 });
    expect(Buffer.from(part).equals(bytes.subarray(4_999_990))).toBe(true);
  });

  test("invalid UTF-8 read as text is an error that says so", async () => {
    await machine.files.write("/tmp/latin1", new Uint8Array([0x67, 0x72, 0xfc]));
    await expect(machine.files.read("/tmp/latin1")).rejects.toThrow(/UTF-8/);
  });

  test("the reserved folder is refused", async () => {
    await expect(machine.files.write("/workspace/.nullspace/x", "y")).rejects.toMatchObject({
      reason: "RESERVED_PATH",
    });
  });
});
