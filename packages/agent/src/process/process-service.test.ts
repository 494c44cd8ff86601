import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { constants } from "node:http2";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorInfoSchema, ErrorReason } from "@nullspace/proto";
import { OutputStream } from "@nullspace/proto/agent";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestAgent, type TestAgent } from "../testing/agent.js";
import { startCall } from "../testing/call.js";
import { closed, dialHttp2, type Host } from "../testing/dial.js";
import { collect, reasonOf } from "../testing/output.js";

let agent: TestAgent;
let host: Host;

beforeAll(async () => {
  agent = await startTestAgent();
  host = await agent.dial();
});

afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await agent[Symbol.asyncDispose]();
});

const run = (command: string, options: object = {}) =>
  collect(host.process.start({ command, cwd: "/", ...options }));

const start = (
  command: string,
  options: { stdin?: boolean; background?: boolean } = {},
  signal?: AbortSignal,
) => startCall(host, command, options, signal);

function isAlive(pid: number): boolean {
  try {
    // A zombie is dead: the helper has only not been told yet.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

describe("Start", () => {
  test("tells both streams and the exit code", async () => {
    expect(await run("echo out; echo err >&2; exit 7")).toMatchObject({
      stdout: "out\n",
      stderr: "err\n",
      exit: { exitCode: 7, signal: "", timedOut: false },
    });
  });

  test("runs a program without a shell, found on the PATH of its own environment", async () => {
    const result = await run("printf", { args: ["%s|", "a b", "$HOME"] });
    expect(result.stdout).toBe("a b|$HOME|");
    expect((await run("true", { exec: true })).exit?.exitCode).toBe(0);
    await expect(run("true", { exec: true, envs: { PATH: "/nowhere" } })).rejects.toThrow(
      /cannot run true/,
    );
  });

  test("gives real pipes: /dev/stdout and /dev/stderr can be opened", async () => {
    const result = await run(
      "echo a > /dev/stdout; echo b > /dev/stderr; head -c 1 /dev/stdin | wc -c",
    );
    expect(result).toMatchObject({ stdout: "a\n0\n", stderr: "b\n" });
  });

  test("an ending by signal is named, and the code is a shell's", async () => {
    expect((await run("kill -SEGV $$")).exit).toMatchObject({ exitCode: 139, signal: "SIGSEGV" });
  });

  test("layers the environment and starts in the folder that was asked for", async () => {
    const result = await run("echo $LANG $EXTRA $PWD", {
      envs: { EXTRA: "x=y", LANG: "C" },
      cwd: "/usr",
    });
    expect(result.stdout).toBe("C x=y /usr\n");
  });

  test.runIf(process.getuid?.() === 0)(
    "takes on user and groups, and an ordinary chance to be killed",
    async () => {
      const result = await run("id -u; id -G; cat /proc/self/oom_score_adj; umask", {
        user: "nobody",
      });
      expect(result.stdout).toMatch(/^65534\n65534\n0\n0022\n$/);
    },
  );

  test.each([
    [
      "no such program",
      { command: "/no/such/program", exec: true },
      ErrorReason.PROCESS_START_FAILED,
      /no such file/,
    ],
    [
      "not executable",
      { command: "/etc/passwd", exec: true },
      ErrorReason.PROCESS_START_FAILED,
      /permission denied/,
    ],
    [
      "no such folder",
      { command: "true", cwd: "/no/such" },
      ErrorReason.PROCESS_START_FAILED,
      /\/no\/such/,
    ],
    [
      "no such user",
      { command: "true", user: "nemo" },
      ErrorReason.PROCESS_START_FAILED,
      /no user nemo/,
    ],
    ["nothing to run", { command: "" }, ErrorReason.INVALID_ARGUMENT, /command/],
    ["a NUL byte", { command: "a\0b" }, ErrorReason.INVALID_ARGUMENT, /NUL/],
    ["a NUL in an argument", { command: "a", args: ["\0"] }, ErrorReason.INVALID_ARGUMENT, /NUL/],
    ["a name with =", { command: "a", envs: { "A=B": "" } }, ErrorReason.INVALID_ARGUMENT, /A=B/],
  ])("refuses %s", async (_, options, reason, message) => {
    const failure = run("", options);
    await expect(failure).rejects.toThrow(message);
    expect(await reasonOf(failure)).toBe(reason);
  });

  test("an argument list that is too long is the caller's mistake, not the agent's", async () => {
    const failure = run("true", { args: ["x".repeat(200_000)] });
    expect(await reasonOf(failure)).toBe(ErrorReason.PROCESS_START_FAILED);
  });

  test("a daemon that keeps the pipes does not hold up the exit, and does not die of them", async () => {
    const before = performance.now();
    const result = await run("(sleep 1; echo late; sleep 30) & echo $!");
    expect(performance.now() - before).toBeLessThan(900);
    const daemon = Number(result.stdout);
    await new Promise((resolve) => setTimeout(resolve, 1200));
    expect(isAlive(daemon)).toBe(true);
    process.kill(-result.pid, "SIGKILL");
  });

  test("a process past its time is terminated, politely first, with all its group", async () => {
    const result = await run("trap 'echo bye; exit 5' TERM; sleep 100 & wait", { timeoutMs: 300 });
    expect(result).toMatchObject({ stdout: "bye\n", exit: { exitCode: 5, timedOut: true } });
  });

  test("one that ignores the warning is killed", async () => {
    const result = await run("trap '' TERM; while :; do sleep 0.1; done", { timeoutMs: 100 });
    expect(result.exit).toMatchObject({ signal: "SIGKILL", exitCode: 137, timedOut: true });
  });
});

describe("the end of a call", () => {
  test("a cancelled call takes the whole group with it", async () => {
    const caller = new AbortController();
    const { pid, next } = await start("sleep 1000 & echo $!; wait", {}, caller.signal);
    const output = await next();
    const child = output?.case === "output" ? Number(Buffer.from(output.value.data)) : 0;
    expect(isAlive(child)).toBe(true);
    caller.abort();
    await expect(next()).rejects.toThrow(ConnectError);
    await expect.poll(() => isAlive(pid) || isAlive(child), { timeout: 5000 }).toBe(false);
  });

  test("so does one whose deadline passes", async () => {
    const call = collect(
      host.process.start({ command: "sleep 1000", cwd: "/" }, { timeoutMs: 200 }),
    );
    await expect(call).rejects.toMatchObject({ code: Code.DeadlineExceeded });
    await expect
      .poll(async () => (await host.process.list({})).processes[0]?.exit?.signal, { timeout: 5000 })
      .toBe("SIGTERM");
  });

  test("a background process outlives its call", async () => {
    const caller = new AbortController();
    const { pid, next } = await start("sleep 1000", { background: true }, caller.signal);
    caller.abort();
    await expect(next()).rejects.toThrow(ConnectError);
    await host.system.ping({});
    expect(isAlive(pid)).toBe(true);
    await host.process.sendSignal({ pid, signal: "SIGKILL" });
  });

  test("a lost connection ends nothing: the next one finds every byte", async () => {
    await using other = await startTestAgent();
    const first = await other.dial();
    const script =
      "for i in $(seq 1 200); do echo line $i; sleep 0.005; done; read word; echo got $word";
    const { pid, next } = await startCall(first, script, { stdin: true });
    let seen = Buffer.alloc(0);
    while (seen.length < 500) {
      const event = await next();
      if (event?.case === "output") seen = Buffer.concat([seen, event.value.data]);
    }
    await first[Symbol.asyncDispose]();
    await expect(next()).rejects.toThrow(ConnectError);
    await using second = await other.dial();
    const rest = collect(second.process.connect({ pid, offset: BigInt(seen.length) }));
    await second.process.sendInput({ pid, data: Buffer.from("a word\n") });
    const { stdout, exit, dropped } = await rest;
    const expected = Array.from({ length: 200 }, (_, i) => `line ${i + 1}\n`).join("");
    expect(seen.toString() + stdout).toBe(`${expected}got a word\n`);
    expect({ exit, dropped }).toMatchObject({ exit: { exitCode: 0 }, dropped: 0n });
    expect(other.defects).toEqual([]);
  });

  test.each([
    ["a client's connection that broke before the server", constants.NGHTTP2_CONNECT_ERROR, true],
    ["a client's cancellation", constants.NGHTTP2_CANCEL, false],
  ])("the server passes on %s", async (_, code, survives) => {
    await using other = await startTestAgent();
    const session = await dialHttp2(other.socket);
    session.on("error", () => {});
    const call = session.request({
      ":method": "POST",
      ":path": "/nullspace.agent.v1.ProcessService/Start",
      "content-type": "application/connect+json",
    });
    const request = Buffer.from(JSON.stringify({ command: "sleep 1000", cwd: "/" }));
    const head = Buffer.alloc(5);
    head.writeUInt32BE(request.length, 1);
    call.end(Buffer.concat([head, request]));
    await once(call, "data");
    const { promise: gone, resolve } = Promise.withResolvers<void>();
    call
      .on("error", () => {})
      .on("close", resolve)
      .close(code);
    await gone;
    await using second = await other.dial();
    const { processes } = await second.process.list({});
    const pid = processes[0]?.pid ?? 0;
    await second.system.ping({});
    await expect.poll(() => isAlive(pid), { timeout: 5000 }).toBe(survives);
    session.destroy();
  });

  test("a process that floods waits for a reader whose connection broke: no byte is lost", async () => {
    await using other = await startTestAgent();
    const first = await other.dial();
    const { pid, next } = await startCall(first, "seq 1 2000000", {});
    let seen = 0;
    while (seen < 100_000) {
      const event = await next();
      if (event?.case === "output") seen += event.value.data.length;
    }
    await first[Symbol.asyncDispose]();
    await using second = await other.dial();
    // It runs as far as its reader may be behind, and no further.
    await second.system.ping({});
    const rest = await collect(second.process.connect({ pid, offset: BigInt(seen) }));
    expect(rest.dropped).toBe(0n);
    const whole = Array.from({ length: 2_000_000 }, (_, i) => `${i + 1}\n`).join("");
    expect(rest.stdout === whole.slice(seen)).toBe(true);
  });

  test("a client that ends its HTTP/2 session has not cancelled anything", async () => {
    await using other = await startTestAgent();
    const first = await other.dial();
    const { pid, next } = await startCall(first, "sleep 1000");
    first.socket.end();
    await closed(first.socket);
    await expect(next()).rejects.toThrow(ConnectError);
    await using second = await other.dial();
    await second.system.ping({});
    expect(isAlive(pid)).toBe(true);
  });
});

describe("Connect", () => {
  test("replays from any offset, over both streams", async () => {
    const { pid } = await run("printf abc; sleep 0.1; printf de >&2; sleep 0.1; printf fgh");
    expect(await collect(host.process.connect({ pid, offset: 2n }))).toMatchObject({
      stdout: "cfgh",
      stderr: "de",
      exit: { exitCode: 0 },
    });
    expect((await collect(host.process.connect({ pid, offset: 8n }))).bytes).toBe(0);
  });

  test("says what it no longer has", async () => {
    const { pid, bytes } = await run("head -c 3000000 /dev/zero");
    expect(bytes).toBe(3_000_000);
    const replay = await collect(host.process.connect({ pid, offset: 1000n }));
    expect(Number(replay.dropped) + replay.bytes).toBe(3_000_000 - 1000);
    expect(replay.bytes).toBe(1 << 20);
  });

  test("an unknown pid is not found", async () => {
    expect(await reasonOf(collect(host.process.connect({ pid: 1, offset: 0n })))).toBe(
      ErrorReason.PROCESS_NOT_FOUND,
    );
  });
});

describe("standard input", () => {
  test("arrives whole, and ends when it is closed", async () => {
    const { pid, rest } = await start("sha256sum", { stdin: true });
    const result = collect(rest);
    for (let i = 0; i < 40; i++) {
      await host.process.sendInput({ pid, data: Buffer.alloc(100_000, i) });
    }
    await host.process.closeInput({ pid });
    await host.process.closeInput({ pid });

    const hash = createHash("sha256");
    for (let i = 0; i < 40; i++) hash.update(Buffer.alloc(100_000, i));
    expect((await result).stdout).toBe(`${hash.digest("hex")}  -\n`);
  });

  test("waits for a process that does not read, up to the caller's deadline", async () => {
    const { pid } = await start("sleep 1000", { stdin: true });
    const send = () =>
      host.process.sendInput({ pid, data: Buffer.alloc(1 << 20) }, { timeoutMs: 300 });
    await expect(send()).rejects.toMatchObject({ code: Code.DeadlineExceeded });
    await host.process.sendSignal({ pid, signal: "SIGKILL" });
    await expect.poll(() => reasonOf(send())).toBe(ErrorReason.STDIN_CLOSED);
  });

  test("is refused where there is none, or no more", async () => {
    const { pid } = await start("sleep 1000");
    expect(await reasonOf(host.process.sendInput({ pid, data: Buffer.from("x") }))).toBe(
      ErrorReason.STDIN_CLOSED,
    );
    await host.process.sendSignal({ pid, signal: "SIGKILL" });
  });
});

describe("SendSignal", () => {
  test("reaches the group; one that has ended cannot be signalled", async () => {
    const { pid, rest } = await start("sleep 1000 | cat");
    await host.process.sendSignal({ pid, signal: "SIGINT" });
    expect((await collect(rest)).exit?.signal).toBe("SIGINT");
    expect(await reasonOf(host.process.sendSignal({ pid, signal: "SIGINT" }))).toBe(
      ErrorReason.PROCESS_NOT_FOUND,
    );
  });

  test("knows no signal of another name", async () => {
    const { pid } = await start("sleep 1000");
    expect(await reasonOf(host.process.sendSignal({ pid, signal: "TERMINATE" }))).toBe(
      ErrorReason.INVALID_ARGUMENT,
    );
    await host.process.sendSignal({ pid, signal: "SIGKILL" });
  });
});

test("List tells of running and ended processes, newest first, and forgets old ones", async () => {
  const { pid } = await start("sleep 1000");
  for (let i = 0; i < 70; i++) await run(`exit ${i}`);
  const { processes } = await host.process.list({});
  expect(processes.filter(({ exit }) => exit !== undefined)).toHaveLength(64);
  expect(processes[0]?.exit?.exitCode).toBe(69);
  expect(processes.find((process) => process.pid === pid)).toMatchObject({
    command: "sleep 1000",
    cwd: "/",
  });
  await host.process.sendSignal({ pid, signal: "SIGKILL" });
});

test("a slow reader slows the process, whose output nobody has to keep", async () => {
  await using other = await startTestAgent();
  await using slow = await other.dial();
  const { next, rest } = await startCall(slow, "head -c 200000000 /dev/zero; echo end");
  await next();
  // What may be on its way: the reader's lag, the pipes, and every window and queue in between.
  await expect
    .poll(async () => Number((await slow.process.list({})).processes[0]?.outputBytes))
    .toBeGreaterThan(0);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const { processes } = await slow.process.list({});
  expect(Number(processes[0]?.outputBytes)).toBeLessThan(20 << 20);
  expect((await collect(rest)).stdout.slice(-4)).toBe("end\n");
}, 30_000);

test("processes that flood in both directions at once all end, in bounded memory", async () => {
  await using other = await startTestAgent();
  await using busy = await other.dial();
  const before = process.memoryUsage.rss();
  const total = 40 << 20;
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      const { pid, rest } = await startCall(busy, "cat", { exec: true, stdin: true });
      const send = async () => {
        for (let sent = 0; sent < total; sent += 1 << 20) {
          await busy.process.sendInput({ pid, data: Buffer.alloc(1 << 20, sent >> 20) });
        }
        await busy.process.closeInput({ pid });
      };
      let received = 0;
      const streams = new Set<OutputStream>();
      const receive = async () => {
        for await (const { event } of rest) {
          if (event?.event.case !== "output") continue;
          streams.add(event.event.value.stream);
          received += event.event.value.data.length;
        }
      };
      await Promise.all([send(), receive()]);
      expect(received).toBe(total);
      expect([...streams]).toEqual([OutputStream.STDOUT]);
    }),
  );
  // Client and agent share this process.
  expect(process.memoryUsage.rss() - before).toBeLessThan(300 << 20);
}, 60_000);

test("hundreds of quick commands leave nothing behind: no descriptor, no process, no memory", async () => {
  await using other = await startTestAgent();
  await using busy = await other.dial();
  const quick = async (i: number) => {
    const bytes = Buffer.from([i & 255, 0, 255, 10, 128]);
    const escaped = [...bytes].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");
    const chunks: Uint8Array[] = [];
    for await (const { event } of busy.process.start({
      command: `printf '${escaped}'`,
      cwd: "/",
    })) {
      if (event?.event.case === "output") chunks.push(event.event.value.data);
    }
    expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
  };
  const round = async () => {
    for (let i = 0; i < 200; i += 10) {
      await Promise.all(Array.from({ length: 10 }, (_, n) => quick(i + n)));
    }
  };
  const descriptors = () => readdirSync("/proc/self/fd").length;
  await round();
  const helper = readFileSync(`/proc/${helperPid(other.folder)}/status`, "utf8");
  const before = descriptors();
  await round();
  await round();
  await expect.poll(descriptors).toBeLessThanOrEqual(before);
  const children = readFileSync(
    `/proc/${helperPid(other.folder)}/task/${helperPid(other.folder)}/children`,
    "utf8",
  );
  expect(children.trim()).toBe("");
  // It is told of the last ones when their callers already have their answer.
  await expect.poll(() => helperDescriptors(other.folder)).toBeLessThan(12);
  const rss = (status: string) => Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
  const after = readFileSync(`/proc/${helperPid(other.folder)}/status`, "utf8");
  expect(rss(after) - rss(helper)).toBeLessThan(512);
}, 60_000);

function helperPid(folder: string): string {
  const pid = readdirSync("/proc").find((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      const [program = "", socket = ""] = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0");
      return program.endsWith("/guest-helper") && socket.startsWith(folder);
    } catch {
      return false;
    }
  });
  if (pid === undefined) throw new Error("the helper does not run");
  return pid;
}

const helperDescriptors = (folder: string) => readdirSync(`/proc/${helperPid(folder)}/fd`).length;

test("an error carries its reason in every protocol's details", async () => {
  const error: unknown = await host.process
    .sendInput({ pid: 1 })
    .catch((reason: unknown) => reason);
  expect(ConnectError.from(error).findDetails(ErrorInfoSchema)[0]).toMatchObject({
    reason: ErrorReason.PROCESS_NOT_FOUND,
    retryable: false,
  });
});
