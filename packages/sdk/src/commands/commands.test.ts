import { setTimeout as delay } from "node:timers/promises";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { CommandError } from "../errors.js";
import type { Machine } from "../machine.js";
import { Nullspace } from "../nullspace.js";
import { FakeServer } from "../testing/fake-server.js";
import type { StdinSource } from "./options.js";
import type { CommandOutput } from "./output.js";

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
  server.processes.dropFirstBytes = 0n;
  server.processes.surviveAbort = false;
});

const node = (script: string) => ({ args: ["-e", script] });

async function* mixedPieces() {
  yield "one ";
  yield new TextEncoder().encode("two");
}

describe("run in the foreground", () => {
  test("a line goes through a shell", async () => {
    const result = await machine.commands.run("echo out; echo err >&2; exit 3");
    expect(result).toMatchObject({
      exitCode: 3,
      stdout: "out\n",
      stderr: "err\n",
      signal: undefined,
      timedOut: false,
      ok: false,
      droppedBytes: 0,
    });
    expect(() => result.orThrow()).toThrow(CommandError);
    expect(() => result.orThrow()).toThrow(/exit code 3:\nerr/);
    expect((await machine.commands.run("true")).orThrow().ok).toBe(true);
  });

  test("arguments go to the program as they are", async () => {
    const args = ["$HOME", "a b", "", "'", "\\n"];
    const script = "console.log(JSON.stringify(process.argv.slice(1)))";
    const { stdout } = await machine.commands.run("node", { args: ["-e", script, "--", ...args] });
    expect(JSON.parse(stdout)).toEqual(args);
  });

  test("shell: false runs a program without arguments", async () => {
    await expect(machine.commands.run("echo hi", { shell: false })).rejects.toMatchObject({
      name: "InvalidArgumentError",
      reason: "PROCESS_START_FAILED",
    });
  });

  test("shell and args exclude each other", async () => {
    // @ts-expect-error: the types say so too.
    const call = machine.commands.run("echo", { shell: true, args: ["hi"] });
    await expect(call).rejects.toMatchObject({ name: "InvalidArgumentError" });
  });

  test("environment and working directory", async () => {
    const options = { envs: { GREETING: "hi there" }, cwd: "/tmp" };
    const { stdout } = await machine.commands.run('echo "$GREETING"; pwd', options);
    expect(stdout).toBe("hi there\n/tmp\n");
  });

  test("timeoutMs kills the command and says so", async () => {
    const result = await machine.commands.run("sleep 30", { timeoutMs: 100 });
    expect(result).toMatchObject({ timedOut: true, signal: "SIGKILL", ok: false });
    expect(() => result.orThrow()).toThrow(/killed at its timeout/);
  });

  test("bytes come through as they are; text has replacement characters", async () => {
    const { stdoutBytes, stdout } = await machine.commands.run("printf '\\377\\000a'");
    expect([...stdoutBytes]).toEqual([0xff, 0, 0x61]);
    expect(stdout).toBe("\uFFFD\0a");
  });

  test("a character torn over many pieces is told once, whole", async () => {
    const script = `
      const bytes = Buffer.from("a€😀b");
      let i = 0;
      const step = () => {
        if (i === bytes.length) return;
        process.stdout.write(bytes.subarray(i, ++i), () => setTimeout(step, 5));
      };
      step();`;
    const pieces: string[] = [];
    const options = { ...node(script), onStdout: (text: string) => void pieces.push(text) };
    const { stdout } = await machine.commands.run("node", options);
    expect(stdout).toBe("a€😀b");
    expect(pieces.join("")).toBe("a€😀b");
    expect(pieces.every((piece) => piece !== "" && !piece.includes("\uFFFD"))).toBe(true);
  });

  test("the beginning of a character that never ends is told at the end", async () => {
    const pieces: string[] = [];
    await machine.commands.run("printf 'a\\342\\202'", {
      onStdout: (text) => void pieces.push(text),
    });
    expect(pieces.join("")).toBe("a\uFFFD");
  });

  test("maxOutputBytes keeps the end and tells what is missing", async () => {
    const { stdout, droppedBytes } = await machine.commands.run("seq 1 20000", {
      maxOutputBytes: 12,
    });
    expect(stdout).toBe("19999\n20000\n");
    expect(droppedBytes).toBe(108_894 - 12);
  });

  test("a callback that waits holds the stream back", async () => {
    const total = 24 * 1024 * 1024;
    const released = Promise.withResolvers<void>();
    const first = Promise.withResolvers<void>();
    let received = 0;
    const run = machine.commands.run(`head -c ${total} /dev/zero`, {
      maxOutputBytes: 0,
      onOutput: async ({ data }) => {
        received += data.length;
        first.resolve();
        await released.promise;
      },
    });
    await first.promise;
    await delay(100);
    expect(received).toBeLessThan(1024 * 1024);
    released.resolve();
    const { droppedBytes } = await run;
    expect(received).toBe(total);
    expect(droppedBytes).toBe(total);
  });

  test("a command whose output nobody reads stops no other call", async () => {
    const released = Promise.withResolvers<void>();
    const held = Array.from({ length: 3 }, () =>
      machine.commands.run("head -c 8000000 /dev/zero", { onOutput: () => released.promise }),
    );
    const { stdout } = await machine.commands.run("echo quick", { requestTimeoutMs: 5_000 });
    expect(stdout).toBe("quick\n");
    released.resolve();
    await Promise.all(held);
  });

  test("a callback that throws ends the command and is the error", async () => {
    let pid = 0;
    const bug = new Error("in the callback");
    const run = machine.commands.run("echo x; sleep 30", {
      onStart: (started) => void (pid = started),
      onStdout: () => {
        throw bug;
      },
    });
    await expect(run).rejects.toBe(bug);
    await expect.poll(() => server.processes.cancelled.includes(pid)).toBe(true);
    await expect.poll(() => server.processes.isRunning(pid)).toBe(false);
  });
});

describe("standard input", () => {
  test("is empty when not given", async () => {
    expect((await machine.commands.run("cat; echo done")).stdout).toBe("done\n");
  });

  test("of a string, bytes and streams", async () => {
    const sources: [StdinSource, string][] = [
      ["häl\nlo", "häl\nlo"],
      ["", ""],
      [new TextEncoder().encode("bytes"), "bytes"],
      [mixedPieces(), "one two"],
      [new Blob(["web"]).stream(), "web"],
    ];
    for (const [stdin, expected] of sources) {
      expect((await machine.commands.run("cat", { stdin })).stdout).toBe(expected);
    }
  });

  test("of more than a message comes through whole", async () => {
    const stdin = "0123456789".repeat(150_000);
    expect((await machine.commands.run("wc -c", { stdin })).stdout.trim()).toBe("1500000");
  });

  test("a command that stops reading is not an error, and its source is told to stop", async () => {
    const stopped = Promise.withResolvers<void>();
    const endless = async function* () {
      try {
        for (;;) yield "y\n".repeat(10_000);
      } finally {
        stopped.resolve();
      }
    };
    const { stdout } = await machine.commands.run("head -n 1", { stdin: endless() });
    expect(stdout).toBe("y\n");
    await stopped.promise;
  });

  test("a source that never gives anything does not keep an ended command", async () => {
    const silent = new ReadableStream<string>({});
    expect((await machine.commands.run("echo bye", { stdin: silent })).stdout).toBe("bye\n");
  });

  test("a source that fails ends the command and is the error", async () => {
    const bug = new Error("no more");
    const broken = async function* () {
      yield "x";
      throw bug;
    };
    await expect(machine.commands.run("cat; sleep 30", { stdin: broken() })).rejects.toBe(bug);
  });
});

describe("cancellation and lost connections", () => {
  test("a signal kills the command on the server", async () => {
    const controller = new AbortController();
    const pid = Promise.withResolvers<number>();
    const run = machine.commands
      .run("sleep 30", { signal: controller.signal, onStart: pid.resolve })
      .catch((error: unknown) => error);
    const started = await pid.promise;
    controller.abort();
    expect(await run).toMatchObject({ name: "CancelledError" });
    await expect.poll(() => server.processes.cancelled).toContain(started);
  });

  test("requestTimeoutMs ends the call and the command", async () => {
    const pid = Promise.withResolvers<number>();
    const run = machine.commands.run("sleep 30", {
      requestTimeoutMs: 200,
      onStart: pid.resolve,
    });
    await expect(run).rejects.toMatchObject({ name: "TimeoutError", reason: "DEADLINE_EXCEEDED" });
    const started = await pid.promise;
    await expect.poll(() => server.processes.isRunning(started)).toBe(false);
  });

  test("a lost connection loses no byte of a running command", async () => {
    server.processes.surviveAbort = true;
    let cuts = 0;
    const { stdout } = await machine.commands.run(
      "for i in 1 2 3 4 5 6; do echo $i; sleep 0.1; done",
      {
        onStdout: (text) => {
          if (/[24]/.test(text) && cuts++ < 2) server.dropConnections();
        },
      },
    );
    expect(cuts).toBeGreaterThanOrEqual(2);
    expect(stdout).toBe("1\n2\n3\n4\n5\n6\n");
  });

  test("a command that was found again is killed by its signal all the same", async () => {
    server.processes.surviveAbort = true;
    const controller = new AbortController();
    let pid = 0;
    const attached = Promise.withResolvers<void>();
    server.onCall = (method) => {
      if (method === "Connect") attached.resolve();
    };
    const run = machine.commands
      .run("echo ready; sleep 30", {
        signal: controller.signal,
        onStart: (started) => void (pid = started),
        onStdout: () => server.dropConnections(),
      })
      .catch((error: unknown) => error);
    await attached.promise;
    controller.abort();
    expect(await run).toMatchObject({ name: "CancelledError" });
    await expect.poll(() => server.processes.isRunning(pid)).toBe(false);
  });

  test("a start is never repeated", async () => {
    server.calls.length = 0;
    server.onCall = (method) => {
      if (method === "Start") throw new Fault(ErrorReason.AGENT_UNREACHABLE, "not now");
    };
    await expect(machine.commands.run("true")).rejects.toMatchObject({
      name: "UnavailableError",
      reason: "AGENT_UNREACHABLE",
      retryable: true,
    });
    expect(server.calls).toEqual(["Start"]);
  });
});

describe("in the background", () => {
  test("a handle gives the output from its beginning, and again", async () => {
    await using handle = await machine.commands.run("echo a; sleep 0.1; echo b >&2; exit 4", {
      background: true,
    });
    expect(handle.pid).toBeGreaterThan(0);
    const read = async () => {
      const outputs: CommandOutput[] = [];
      for await (const output of handle) outputs.push(output);
      return outputs.map(({ stream, text }) => [stream, text]);
    };
    const expected = [
      ["stdout", "a\n"],
      ["stderr", "b\n"],
    ];
    expect(await read()).toEqual(expected);
    expect(await read()).toEqual(expected);
    expect(await handle.wait()).toMatchObject({ exitCode: 4, stdout: "a\n", stderr: "b\n" });
  });

  test("a connection goes on at a byte that was seen", async () => {
    const { pid } = await machine.commands.run("echo one; echo two >&2", { background: true });
    const texts = async (offset: number) => {
      const seen: string[] = [];
      const handle = await machine.commands.connect(pid, { offset });
      for await (const { text, offset: at } of handle) seen.push(`${at}:${text}`);
      return seen;
    };
    expect(await texts(2)).toEqual(["2:e\n", "4:two\n"]);
    expect(await texts(8)).toEqual([]);
    for (const offset of [-1, 0.5, Number.NaN]) {
      await expect(machine.commands.connect(pid, { offset })).rejects.toMatchObject({
        name: "InvalidArgumentError",
      });
    }
  });

  test("callbacks are told without anyone waiting", async () => {
    const seen = Promise.withResolvers<string>();
    await using handle = await machine.commands.run("echo hello; sleep 0.1", {
      background: true,
      onStdout: seen.resolve,
    });
    expect(await seen.promise).toBe("hello\n");
    expect((await handle.wait()).ok).toBe(true);
  });

  test("standard input stays open", async () => {
    const handle = await machine.commands.run("cat", { background: true });
    await handle.sendStdin("one\n");
    await machine.commands.sendStdin(handle.pid, new TextEncoder().encode("two\n"));
    await handle.closeStdin();
    expect((await handle.wait()).stdout).toBe("one\ntwo\n");
    await expect(handle.sendStdin("late")).rejects.toMatchObject({ reason: "STDIN_CLOSED" });
  });

  test("disconnect ends loops and waits; the command runs on", async () => {
    const handle = await machine.commands.run("sleep 30", { background: true });
    const waiting = handle.wait().catch((error: unknown) => error);
    const looping = (async () => {
      for await (const output of handle) expect(output).toBeUndefined();
    })();
    handle.disconnect();
    expect(await waiting).toMatchObject({ name: "CancelledError" });
    await looping;
    expect(server.processes.isRunning(handle.pid)).toBe(true);

    const again = await machine.commands.connect(handle.pid);
    await again.kill("SIGTERM");
    expect(await again.wait()).toMatchObject({ signal: "SIGTERM", ok: false });
  });

  test("logs so far, of a running command and an ended one", async () => {
    const handle = await machine.commands.run("echo out; echo err >&2; cat", { background: true });
    await expect.poll(async () => (await handle.getLogs()).output.length).toBe(8);
    const logs = await machine.commands.getLogs(handle.pid);
    expect(logs).toMatchObject({ stdout: "out\n", stderr: "err\n", exitCode: null });
    await handle.closeStdin();
    await handle.wait();
    expect((await handle.getLogs()).exitCode).toBe(0);
    await expect(machine.commands.getLogs(1)).rejects.toMatchObject({
      reason: "PROCESS_NOT_FOUND",
    });
    await expect(machine.commands.connect(1)).rejects.toMatchObject({ name: "NotFoundError" });
  });

  test("output that is no longer kept is told", async () => {
    const handle = await machine.commands.run("echo 0123456789", { background: true });
    await handle.wait();
    server.processes.dropFirstBytes = 4n;
    const outputs: CommandOutput[] = [];
    for await (const output of handle) outputs.push(output);
    expect(outputs).toMatchObject([{ text: "456789\n", droppedBytes: 4, offset: 4 }]);
    expect(await handle.getLogs()).toMatchObject({ output: "456789\n", droppedBytes: 4 });
    expect(await handle.wait()).toMatchObject({ stdout: "456789\n", droppedBytes: 4 });
  });

  test("processes are listed", async () => {
    const handle = await machine.commands.run("sleep", { args: ["30"], background: true });
    const find = async () => (await machine.commands.list()).find(({ pid }) => pid === handle.pid);
    expect(await find()).toMatchObject({ command: "sleep", args: ["30"], running: true });
    await machine.commands.kill(handle.pid);
    await handle.wait();
    expect(await find()).toMatchObject({ running: false, end: { signal: "SIGKILL" } });
  });
});
