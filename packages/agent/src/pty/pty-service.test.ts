import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { ErrorReason } from "@nullspace/proto";
import type { PtyServiceConnectResponse } from "@nullspace/proto/agent";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestAgent, type TestAgent } from "../testing/agent.js";
import type { Host } from "../testing/dial.js";
import { reasonOf } from "../testing/output.js";
import { ViewerTerminal } from "../testing/terminal.js";

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

type Connect = Partial<Parameters<Host["pty"]["connect"]>[0]>;

/** A viewer with a terminal of its own, as the console or a shell's user has. */
class Viewer {
  readonly terminal = new ViewerTerminal();
  readonly events: PtyServiceConnectResponse["event"]["case"][] = [];
  bytes = 0;
  skipped = 0n;
  readonly ended: Promise<PtyServiceConnectResponse["event"]>;
  readonly #gone = new AbortController();
  #sequence = 0n;
  readonly #id: string;
  readonly #writer = Math.random().toString();
  readonly #host: Host;
  #changed = Promise.withResolvers<void>();

  constructor(id: string, options: Connect = {}, on = host) {
    this.#id = id;
    this.#host = on;
    const { signal } = this.#gone;
    this.ended = this.#follow(on.pty.connect({ sessionId: id, ...options }, { signal }));
    this.ended.catch(() => {});
  }

  async #follow(stream: AsyncIterable<PtyServiceConnectResponse>) {
    let last: PtyServiceConnectResponse["event"] = { case: undefined };
    for await (const { event } of stream) {
      last = event;
      this.events.push(event.case);
      if (event.case === "screen") this.skipped += event.value.skippedBytes;
      if (event.case === "screen" && event.value.size !== undefined) {
        this.terminal.resize(event.value.size.cols, event.value.size.rows);
      }
      if (event.case === "resized") this.terminal.resize(event.value.cols, event.value.rows);
      if (event.case === "output") this.bytes += event.value.data.length;
      if (event.case === "screen" || event.case === "output") {
        await this.terminal.write(event.value.data);
      }
      this.#changed.resolve();
      this.#changed = Promise.withResolvers();
    }
    return last;
  }

  async type(text: string): Promise<void> {
    const sequence = ++this.#sequence;
    const data = Buffer.from(text);
    await this.#host.pty.sendInput({ sessionId: this.#id, writerId: this.#writer, sequence, data });
  }

  /** Resolves when the screen shows something. */
  async shows(wanted: string | RegExp): Promise<void> {
    const isThere = () =>
      typeof wanted === "string"
        ? this.terminal.text.includes(wanted)
        : wanted.test(this.terminal.text);
    while (!isThere()) {
      const ended = await Promise.race([
        this.#changed.promise.then(() => false),
        this.ended.then(() => true),
      ]);
      if (ended && !isThere()) throw new Error(`never shown: ${this.terminal.text}`);
    }
  }

  leave(): void {
    this.#gone.abort();
  }
}

async function open(command: string, options: object = {}): Promise<string> {
  const { session } = await host.pty.create({ command, cwd: "/", ...options });
  return session?.sessionId ?? "";
}

const kill = (sessionId: string) => host.pty.sendSignal({ sessionId, signal: "SIGKILL" });

describe("a session", () => {
  test("is a real terminal, the leader's own, of the size that was asked for", async () => {
    const id = await open(
      "test -t 0 && test -t 2 && tty && stty size && ps -o tpgid= -p $$ && echo $$; echo $TERM",
      {
        size: { cols: 100, rows: 30 },
      },
    );
    const viewer = new Viewer(id);
    expect((await viewer.ended).case).toBe("exit");
    expect(viewer.terminal.text).toMatch(/^\/dev\/pts\/\d+\n30 100\n\s*(\d+)\n\1\nxterm-256color$/);
  });

  test("without a command is the user's shell, with a prompt and job control", async () => {
    const id = await open("");
    const viewer = new Viewer(id);
    await viewer.shows(/[$#>]$/);
    await viewer.type("sleep 1000\r");
    await viewer.shows("sleep 1000");
    await viewer.type("\x03");
    await viewer.type("echo $((40 + 2))\rexit 3\r");
    expect(await viewer.ended).toMatchObject({ case: "exit", value: { exitCode: 3, signal: "" } });
    expect(viewer.terminal.text).toContain("42");
  });

  test("runs a program with its arguments as they are", async () => {
    const id = await open("printf", { args: ["%s|", "a b", "$HOME"], envs: { TERM: "dumb" } });
    const viewer = new Viewer(id);
    await viewer.ended;
    expect(viewer.terminal.text).toBe("a b|$HOME|");
  });

  test("outlives its viewers and their connection, and is painted for the next", async () => {
    await using other = await startTestAgent();
    const first = await other.dial();
    const command = "printf 'one\\ntwo '; read word; echo got $word; exec sleep 1000";
    const { session } = await first.pty.create({ command, cwd: "/" });
    const id = session?.sessionId ?? "";
    const before = new Viewer(id, {}, first);
    await before.shows("two");
    await first[Symbol.asyncDispose]();
    await expect(before.ended).rejects.toThrow(ConnectError);
    await using second = await other.dial();
    const after = new Viewer(id, {}, second);
    await after.shows("two");
    await after.type("word\r");
    await after.shows("got word");
    expect(after.terminal.text).toBe("one\ntwo word\ngot word");
  });

  test("tells how its program ended, to whoever waits, before and after", async () => {
    const id = await open("read word; exit 7");
    const waiting = host.pty.wait({ sessionId: id });
    const viewer = new Viewer(id);
    await viewer.type("x\r");
    expect((await waiting).exit).toMatchObject({ exitCode: 7, signal: "" });
    expect((await host.pty.wait({ sessionId: id })).exit?.exitCode).toBe(7);
    expect(await reasonOf(viewer.type("more"))).toBe(ErrorReason.PTY_ENDED);
    expect(await reasonOf(kill(id))).toBe(ErrorReason.PTY_ENDED);
    expect(await reasonOf(host.pty.resize({ sessionId: id, size: { cols: 9, rows: 9 } }))).toBe(
      ErrorReason.PTY_ENDED,
    );
  });

  test("the last screen of one that has ended can be seen", async () => {
    const id = await open("echo last words; kill -9 $$");
    await host.pty.wait({ sessionId: id });
    const viewer = new Viewer(id);
    expect(await viewer.ended).toMatchObject({ value: { signal: "SIGKILL", exitCode: 137 } });
    expect(viewer.terminal.text).toBe("last words");
  });

  test("is killed with all its jobs, in whatever group they are", async () => {
    const id = await open("bash", { args: ["--norc", "-i"] });
    const viewer = new Viewer(id);
    await viewer.type("sleep 4242 &\rsleep 4243\r");
    const alive = () =>
      readdirSync("/proc").filter((name) => {
        try {
          return /sleep.424[23]/.test(readFileSync(`/proc/${name}/cmdline`, "latin1"));
        } catch {
          return false;
        }
      });
    await expect.poll(() => alive().length).toBe(2);
    await kill(id);
    expect((await host.pty.wait({ sessionId: id })).exit?.signal).toBe("SIGKILL");
    await expect.poll(() => alive().length).toBe(0);
  });

  test("is listed with its viewers and size", async () => {
    const id = await open("exec sleep 1000", { size: { cols: 90, rows: 20 } });
    const viewer = new Viewer(id);
    await expect
      .poll(async () => (await host.pty.list({})).sessions.find((s) => s.sessionId === id)?.viewers)
      .toBe(1);
    const [session] = (await host.pty.list({})).sessions;
    expect(session).toMatchObject({ command: "exec sleep 1000", cwd: "/", size: { cols: 90 } });
    const { processes } = await host.process.list({});
    expect(processes.map(({ pid }) => pid)).not.toContain(session?.pid);
    viewer.leave();
    await kill(id);
    expect(await reasonOf(host.pty.sendSignal({ sessionId: "pty_none", signal: "SIGINT" }))).toBe(
      ErrorReason.PTY_NOT_FOUND,
    );
  });

  test.runIf(process.getuid?.() === 0)("belongs to the user it runs as", async () => {
    const viewer = new Viewer(
      await open("id -un; stat -c %U:%a $(tty); echo to the terminal > /dev/tty", {
        user: "nobody",
      }),
    );
    await viewer.ended;
    expect(viewer.terminal.text).toBe("nobody\nnobody:620\nto the terminal");
  });

  test("is made once, however often the call is made", async () => {
    const calls = [1, 2].map(() => open("exec sleep 1000", { idempotencyKey: "key" }));
    const [first, second] = await Promise.all(calls);
    expect(second).toBe(first);
    await kill(first ?? "");
  });

  test.each([
    ["no columns", { size: { cols: 0, rows: 24 } }, ErrorReason.INVALID_ARGUMENT],
    ["too many rows", { size: { cols: 80, rows: 1001 } }, ErrorReason.INVALID_ARGUMENT],
    ["no such program", { command: "/none", exec: true }, ErrorReason.PROCESS_START_FAILED],
    ["no such user", { user: "nemo" }, ErrorReason.PROCESS_START_FAILED],
  ])("is refused with %s", async (_, options, reason) => {
    expect(await reasonOf(host.pty.create({ cwd: "/", ...options }))).toBe(reason);
  });
});

describe("viewers", () => {
  test("see the same, whenever they join", async () => {
    const id = await open("sh", { envs: { PS1: "$ " } });
    const viewers = [new Viewer(id)];
    for (let i = 0; i < 5; i++) {
      await viewers[0]?.type(`printf '\\033[3${i}mline ${i}\\033[0m\\n'\r`);
      await viewers[0]?.shows(new RegExp(`line ${i}$`, "m"));
      viewers.push(new Viewer(id));
    }
    await viewers[0]?.type("exit\r");
    await Promise.all(viewers.map(({ ended }) => ended));
    for (const { terminal } of viewers) expect(terminal.state).toEqual(viewers[0]?.terminal.state);
  });

  test("the newest sets the size, the program and the others are told", async () => {
    // A shell may lose a second signal while it deals with the first, so the size is asked for, too.
    const ask = 'now=$(stty size); [ "$now" = "$last" ] || echo "$now"; last=$now';
    const id = await open(`trap 'echo told' WINCH; while :; do ${ask}; sleep 0.02; done`);
    const first = new Viewer(id, { size: { cols: 80, rows: 24 } });
    await first.shows("24 80");
    const second = new Viewer(id, { size: { cols: 50, rows: 10 } });
    await first.shows("told");
    await first.shows("10 50");
    await second.shows("10 50");
    expect(first.events).toContain("resized");
    await host.pty.resize({ sessionId: id, size: { cols: 120, rows: 40 } });
    await second.shows("40 120");
    second.leave();
    await kill(id);
    expect(await first.ended).toMatchObject({ case: "exit" });
  });

  test("are told of a new size though the program says nothing", async () => {
    const id = await open("exec sleep 1000");
    const viewer = new Viewer(id);
    await expect.poll(() => viewer.events).toEqual(["screen"]);
    await host.pty.resize({ sessionId: id, size: { cols: 90, rows: 30 } });
    await expect.poll(() => viewer.events).toEqual(["screen", "resized"]);
    await kill(id);
  });

  test("one that comes back goes on at the byte where it was", async () => {
    const id = await open("printf 0123456789; exec sleep 1000");
    await new Viewer(id).shows("0123456789");
    const again = new Viewer(id, { offset: 4n });
    await again.shows("456789");
    expect(again.events).toEqual(["output"]);
    const ahead = new Viewer(id, { offset: 1_000_000n });
    await ahead.shows("0123456789");
    expect(ahead.events).toEqual(["screen"]);
    await kill(id);
  });

  test("a slow one is told what it missed and painted anew; nobody waits for it", async () => {
    const id = await open("read go; seq 1 2000000; printf 'the end'; exec sleep 1000");
    const stream = host.pty.connect({ sessionId: id })[Symbol.asyncIterator]();
    await stream.next();
    const fast = new Viewer(id);
    await fast.type("\r");
    await fast.shows("the end");
    const slow = new ViewerTerminal();
    let skipped = 0n;
    for (;;) {
      const next: IteratorResult<PtyServiceConnectResponse, unknown> = await stream.next();
      const event = next.done === true ? undefined : next.value.event;
      if (event?.case !== "screen" && event?.case !== "output") throw new Error("no output");
      if (event.case === "screen") skipped += event.value.skippedBytes;
      await slow.write(event.value.data);
      if (slow.text.includes("the end")) break;
    }
    expect(skipped).toBeGreaterThan(5_000_000n);
    expect(slow.text).toBe(fast.terminal.text);
    await kill(id);
  }, 60_000);
});

test("a program that floods its terminal does not grow the agent", async () => {
  const id = await open("yes 'a line of some length that repeats for ever'");
  new Viewer(id);
  const written = async () =>
    Number((await host.pty.list({})).sessions.find((s) => s.sessionId === id)?.outputBytes);
  await expect.poll(written, { timeout: 20_000 }).toBeGreaterThan(5_000_000);
  const before = process.memoryUsage.rss();
  await expect.poll(written, { timeout: 30_000 }).toBeGreaterThan(25_000_000);
  // Agent and viewer share this process.
  expect(process.memoryUsage.rss() - before).toBeLessThan(150 << 20);
  await kill(id);
}, 60_000);

describe("input", () => {
  test("is taken in its order, whatever the order of arrival, and once", async () => {
    const id = await open("stty -echo; echo ready; head -n 60 | sha256sum; exec sleep 1000");
    const viewer = new Viewer(id);
    await viewer.shows("ready");
    const send = (i: number) =>
      host.pty.sendInput({
        sessionId: id,
        writerId: "one",
        sequence: BigInt(i),
        data: Buffer.from(`line ${i}\n`),
      });
    const all = Array.from({ length: 60 }, (_, i) => i + 1);
    await Promise.all([...all.toReversed(), ...all].map(send));
    const expected = createHash("sha256").update(all.map((i) => `line ${i}\n`).join(""));
    const digest = expected.digest("hex");
    await viewer.shows(digest);
    expect(viewer.terminal.text).toContain(digest);
    await kill(id);
  });

  test("is edited by the character, not by the byte", async () => {
    const id = await open("read word; echo got $word | od -An -c");
    const viewer = new Viewer(id);
    await viewer.type("€\x7fx\r");
    await viewer.ended;
    expect(viewer.terminal.text).toMatch(/g\s+o\s+t\s+x\s+\\n/);
  });

  test("that waits for one that never comes ends with its call", async () => {
    const id = await open("exec sleep 1000");
    const late = { sessionId: id, writerId: "one", data: Buffer.from("x") };
    const waiting = host.pty.sendInput({ ...late, sequence: 2n }, { timeoutMs: 200 });
    await expect(waiting).rejects.toMatchObject({ code: Code.DeadlineExceeded });
    await host.pty.sendInput({ ...late, sequence: 1n });
    await host.pty.sendInput({ ...late, sequence: 2n });
    expect(await reasonOf(host.pty.sendInput({ ...late, sequence: 1000n }))).toBe(
      ErrorReason.INVALID_ARGUMENT,
    );
    await kill(id);
  });

  test("what a program asks the terminal is answered, by the agent or by a viewer, never by both", async () => {
    const ask = "stty raw -echo; printf '\\033[6n'; dd bs=1 count=6 2>/dev/null | od -An -c";
    const alone = new Viewer(await open(`${ask}; stty sane; sleep 0.1`));
    await alone.ended;
    expect(alone.terminal.text).toMatch(/033\s+\[\s+1\s+;\s+1\s+R/);

    const id = await open(`read go; ${ask}; exec sleep 1000`);
    const viewer = new Viewer(id, { answersQueries: true });
    await viewer.type("\r");
    await viewer.type("answer");
    await viewer.shows(/a\s+n\s+s\s+w\s+e\s+r/);
    await kill(id);
  });
});

describe("programs that fill the screen", () => {
  test("vim edits a file, is resized, and looks the same to whoever joins", async () => {
    const file = join(agent.folder, "text.txt");
    await writeFile(file, "first line\nsecond line\n");
    const id = await open("vim", { args: ["-u", "NONE", "-N", file] });
    const viewer = new Viewer(id, { answersQueries: true });
    await viewer.shows("second line");
    await host.pty.resize({ sessionId: id, size: { cols: 60, rows: 12 } });
    await viewer.type("ggOhello from vim\x1b");
    await viewer.shows("hello from vim");
    await viewer.type(":set number\r");
    await viewer.shows(/1 hello from vim/);
    const joined = new Viewer(id);
    await joined.shows("hello from vim");
    await expect.poll(() => joined.terminal.state).toEqual(viewer.terminal.state);
    expect(joined.terminal.state).toMatchObject({ kind: "alternate" });
    await viewer.type(":wq\r");
    expect(await viewer.ended).toMatchObject({ value: { exitCode: 0 } });
    expect(readFileSync(file, "utf8")).toBe("hello from vim\nfirst line\nsecond line\n");
  });

  test("less pages and ends", async () => {
    const id = await open("seq 1 100 | less");
    const viewer = new Viewer(id);
    await viewer.shows(/^1\n2\n/);
    await viewer.type("G");
    await viewer.shows(/99\n100/);
    await viewer.type("q");
    expect(await viewer.ended).toMatchObject({ value: { exitCode: 0 } });
  });

  test("tmux splits its window and repaints", async () => {
    const socket = join(agent.folder, "tmux");
    const config = join(agent.folder, "tmux.conf");
    // Else it takes keys that come quickly for pasted text.
    await writeFile(config, "set -g assume-paste-time 0\n");
    const id = await open("tmux", { args: ["-S", socket, "-f", config, "new", "sh"] });
    const viewer = new Viewer(id, { answersQueries: true });
    await viewer.shows("[0]");
    await viewer.type("echo left\r\x02%");
    await viewer.shows("│");
    await viewer.type("echo right side\r");
    await viewer.shows(/right side\n(.*\n)*/);
    const joined = new Viewer(id);
    await joined.shows("right side");
    await expect.poll(() => joined.terminal.state).toEqual(viewer.terminal.state);
    execFileSync("tmux", ["-S", socket, "kill-server"]);
    expect((await viewer.ended).case).toBe("exit");
  });
});
