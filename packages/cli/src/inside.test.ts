import { createHash, randomBytes } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Nullspace } from "@nullspace/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type AgentServer, startAgentServer } from "../../server/src/testing/agent-server.js";
import { Cli, collect } from "./testing/cli.js";
import { Tmux } from "./testing/tmux.js";

let server: AgentServer;
let client: Nullspace;
let cli: Cli;
let id: string;
let local: string;

beforeAll(async () => {
  server = await startAgentServer();
  client = new Nullspace({ url: server.url, apiKey: server.apiKey });
  ({ id } = await client.machines.create());
  local = mkdtempSync(join(tmpdir(), "cli-local-"));
  cli = new Cli({
    HOME: local,
    NULLSPACE_HOME: join(local, "none"),
    NULLSPACE_API_URL: server.url,
    NULLSPACE_API_KEY: server.apiKey,
  });
});
afterAll(async () => {
  client.close();
  await server[Symbol.asyncDispose]();
  rmSync(local, { recursive: true });
});

const inMachine = (name: string) => join(server.agent.folder, name);
const here = (name: string) => join(local, name);

/** Runs a command that must succeed and gives what it printed. */
async function ok(args: string[], stdin?: string | Uint8Array): Promise<string> {
  const { code, stdout, stderr } = await cli.run(args, stdin);
  expect([args.join(" "), code, stderr]).toEqual([args.join(" "), 0, ""]);
  return stdout.toString();
}

/** The same in JSON. */
async function json(args: string[], stdin?: string): Promise<unknown> {
  const value: unknown = JSON.parse(await ok([...args, "--json"], stdin));
  return value;
}

describe("files", () => {
  test("write, cat, stat, ls, mv, chmod, rm", async () => {
    await ok(["files", "write", id, "a/notes.txt", "-m", "600"], "grüße\n");
    expect(readFileSync(inMachine("a/notes.txt"), "utf8")).toBe("grüße\n");
    expect(await ok(["files", "cat", id, "a/notes.txt", "a/notes.txt"])).toBe("grüße\ngrüße\n");
    expect(await json(["files", "stat", id, "a/notes.txt"])).toMatchObject({
      items: [{ path: inMachine("a/notes.txt"), type: "file", size: 8, mode: 0o600 }],
    });
    await ok(["files", "mkdir", id, "a/b", "a/c/d"]);
    expect(await ok(["files", "ls", id, "a"])).toBe("b/\nc/\nnotes.txt\n");
    expect(await ok(["files", "ls", id, "a", "--long"])).toMatch(
      /-rw------- +\S+ +\S+ +8 B +[-\d]+ [:\d]+ +notes.txt\n/,
    );
    expect(await json(["files", "ls", id, "a", "--depth", "2"])).toMatchObject({
      items: [{ name: "b" }, { name: "c" }, { name: "d" }, { name: "notes.txt" }],
    });
    await ok(["files", "mv", id, "a/notes.txt", "moved/to.txt"]);
    await ok(["files", "chmod", id, "755", "moved/to.txt"]);
    expect(statSync(inMachine("moved/to.txt")).mode & 0o777).toBe(0o755);
    const refused = await cli.run(["files", "rm", id, "a"]);
    expect([refused.code, refused.stderr]).toEqual([7, expect.stringContaining("not empty")]);
    await ok(["files", "rm", id, "-r", "a", "moved"]);
    expect((await cli.run(["files", "stat", id, "a"])).code).toBe(3);
  });

  test("bytes pass as they are", async () => {
    const bytes = randomBytes(300_000);
    await ok(["files", "write", id, "raw"], bytes);
    const { stdout } = await cli.run(["files", "cat", id, "raw"]);
    expect(stdout.equals(bytes)).toBe(true);
  });

  test("find, search and replace", async () => {
    mkdirSync(inMachine("src"));
    writeFileSync(inMachine("src/one.ts"), "let a = oldName;\noldName(oldName);\n");
    writeFileSync(inMachine("src/two.md"), "oldName\n");
    expect(await ok(["files", "find", id, "*.ts", "src"])).toBe(`${inMachine("src/one.ts")}\n`);
    const flags = ["src", "-g", "*.ts"];
    expect(await ok(["files", "search", id, "oldName", ...flags])).toBe(
      `${inMachine("src/one.ts")}:1:let a = oldName;\n${inMachine("src/one.ts")}:2:oldName(oldName);\n`,
    );
    expect((await cli.run(["files", "search", id, "nowhere", "src"])).code).toBe(1);
    const replace = ["files", "replace", id, "old(N\\w+)", "new$1", ...flags, "--regex"];
    expect(await json([...replace, "--dry-run"])).toMatchObject({ replacements: 3, dryRun: true });
    expect(readFileSync(inMachine("src/one.ts"), "utf8")).toContain("oldName");
    expect(await ok(replace)).toBe(`${inMachine("src/one.ts")}: 3\n`);
    expect(readFileSync(inMachine("src/one.ts"), "utf8")).toBe(
      "let a = newName;\nnewName(newName);\n",
    );
    expect((await cli.run(["files", "search", id, "(", "src", "--regex"])).code).toBe(2);
  });

  test("watch tells events as lines of JSON, and ends after so many", async () => {
    mkdirSync(inMachine("watched"));
    // Its first line is awaited by making files until it tells of one.
    const child = cli.start("files", "watch", id, "watched", "--json", "--count", "1");
    const ended = collect(child);
    const timer = setInterval(() => writeFileSync(inMachine("watched/new"), "x"), 50);
    const { code, stdout } = await ended;
    clearInterval(timer);
    expect(code).toBe(0);
    expect(JSON.parse(stdout.toString())).toMatchObject({ path: inMachine("watched/new") });
  });

  test("URLs that curl and fetch use", async () => {
    const up = (await ok(["files", "upload-url", id, "by-url", "--expires", "10m"])).trim();
    expect((await fetch(up, { method: "PUT", body: "from outside" })).status).toBe(200);
    expect(await json(["files", "download-url", id, "by-url"])).toMatchObject({ method: "GET" });
    const down = (await ok(["files", "download-url", id, "by-url"])).trim();
    expect(await (await fetch(down)).text()).toBe("from outside");
  });
});

describe("cp", () => {
  test("files, to a name and into a folder, both ways", async () => {
    const bytes = randomBytes(1_500_000);
    writeFileSync(here("up.bin"), bytes, { mode: 0o711 });
    await ok(["cp", here("up.bin"), `${id}:cp/renamed.bin`]);
    await ok(["cp", here("up.bin"), `${id}:cp`]);
    expect(readFileSync(inMachine("cp/renamed.bin")).equals(bytes)).toBe(true);
    expect(statSync(inMachine("cp/up.bin")).mode & 0o777).toBe(0o711);
    expect(await json(["cp", `${id}:cp/up.bin`, here("down.bin")])).toMatchObject({
      items: [{ bytes: bytes.length, files: 1 }],
    });
    expect(readFileSync(here("down.bin")).equals(bytes)).toBe(true);
    mkdirSync(here("into"));
    await ok(["cp", `${id}:cp/up.bin`, `${id}:cp/renamed.bin`, here("into")]);
    expect(readFileSync(here("into/renamed.bin")).equals(bytes)).toBe(true);
    expect(statSync(here("into/up.bin")).size).toBe(bytes.length);
  });

  test("folders with links; a name that is new, one that is there, and only what is in it", async () => {
    mkdirSync(here("tree/empty"), { recursive: true });
    writeFileSync(here("tree/run.sh"), "#!/bin/sh\n", { mode: 0o755 });
    symlinkSync("run.sh", here("tree/link"));
    await ok(["cp", "-r", here("tree"), `${id}:copy`]);
    await ok(["cp", here("tree"), `${id}:copy`]);
    await ok(["cp", `${here("tree")}/.`, `${id}:plain/`]);
    for (const top of ["copy", "copy/tree", "plain"]) {
      expect(readlinkSync(inMachine(`${top}/link`))).toBe("run.sh");
      expect(statSync(inMachine(`${top}/run.sh`)).mode & 0o777).toBe(0o755);
      expect(statSync(inMachine(`${top}/empty`)).isDirectory()).toBe(true);
    }
    await ok(["cp", `${id}:copy`, here("back")]);
    expect(readlinkSync(here("back/tree/link"))).toBe("run.sh");
  });

  test("pipes", async () => {
    const bytes = randomBytes(2_000_000);
    await ok(["cp", "-", `${id}:piped`], bytes);
    const { stdout } = await cli.run(["cp", `${id}:piped`, "-"]);
    expect(stdout.equals(bytes)).toBe(true);
    const child = cli.start("cp", `${id}:piped`, "-");
    child.stdout?.destroy();
    expect((await collect(child)).code).toBe(141);
  });

  test("from one machine to another", async () => {
    writeFileSync(inMachine("one"), "content");
    await ok(["cp", `${id}:one`, `${id}:two`]);
    expect(readFileSync(inMachine("two"), "utf8")).toBe("content");
  });

  test.each([
    [["cp", "a", "b"], 2],
    [["cp", "a"], 2],
    [["cp", "-", "m1:dir/"], 3],
    [["cp", "/none", "ID:x"], 1],
    [["cp", "ID:none", "."], 3],
  ])("%o fails with %i", async (args, code) => {
    const run = await cli.run(args.map((word) => word.replace("ID", id)));
    expect([run.code, run.stdout.length]).toEqual([code, 0]);
    expect(run.stderr).toContain("error:");
  });

  test("a bar on a terminal, which goes when it is done", async () => {
    writeFileSync(here("large"), Buffer.alloc(200_000_000));
    using terminal = new Tmux({ ...cli.env, ID: id });
    terminal.enter(`ns cp ${here("large")} $ID:large; echo done''!`);
    await terminal.shows(/large +[█░]+ +\d+% .*MiB\/s/);
    const screen = await terminal.shows(/done!/);
    expect(screen).not.toContain("█");
    expect(statSync(inMachine("large")).size).toBe(200_000_000);
  });
});

describe("process", () => {
  test("begun in the background, listed, read, fed, awaited", async () => {
    const script = "read a; echo got $a; echo err >&2; exit 5";
    const pid = (await ok(["exec", id, "-d", "--shell", script])).trim();
    expect(await json(["process", "list", id])).toMatchObject({
      items: [{ pid: Number(pid), running: true, command: script }],
    });
    expect(await ok(["process", "logs", id, pid])).toBe("");
    const attached = collect(cli.start("process", "attach", id, pid, "--no-stdin"));
    await ok(["process", "stdin", id, pid], "it\n");
    expect(await attached).toMatchObject({ code: 5, stderr: "err\n" });
    expect((await attached).stdout.toString()).toBe("got it\n");
    expect(await json(["process", "logs", id, pid])).toMatchObject({
      stdout: "got it\n",
      stderr: "err\n",
      exitCode: 5,
    });
    const { stdout, stderr } = await cli.run(["process", "logs", id, pid]);
    expect([stdout.toString(), stderr]).toEqual(["got it\n", "err\n"]);
    expect(await ok(["process", "list", id])).toMatch(new RegExp(`${pid} +exit 5 `));
  });

  test("logs are the bytes that were written", async () => {
    const sum = "head -c 500000 /dev/urandom > r; sha256sum < r | cut -c-64 > r.sum; cat r";
    const pid = (await ok(["exec", id, "-d", "--shell", sum])).trim();
    const { stdout } = await cli.run(["process", "logs", id, pid, "--follow"]);
    const expected = readFileSync(inMachine("r.sum"), "utf8").trim();
    expect(createHash("sha256").update(stdout).digest("hex")).toBe(expected);
  });

  test("attach feeds standard input and passes signals", async () => {
    const pid = (await ok(["exec", id, "-d", "--", "cat"])).trim();
    const { code, stdout } = await cli.run(["process", "attach", id, pid], "through\n");
    expect([code, stdout.toString()]).toEqual([0, "through\n"]);
    const trap = "trap 'echo caught; exit 9' INT; echo up; while :; do sleep 0.1; done";
    const trapped = (await ok(["exec", id, "-d", "--shell", trap])).trim();
    const child = cli.start("process", "attach", id, trapped, "--no-stdin");
    child.stdout?.once("data", () => child.kill("SIGINT"));
    const ended = await collect(child);
    expect([ended.code, ended.stdout.toString()]).toEqual([9, "up\ncaught\n"]);
  });

  test("kill, politely and by name", async () => {
    const pid = (await ok(["exec", id, "-d", "--", "sleep", "1000"])).trim();
    expect(await json(["process", "kill", id, pid])).toEqual({
      signalled: [Number(pid)],
      signal: "SIGTERM",
    });
    expect((await cli.run(["process", "attach", id, pid, "-n"])).code).toBe(143);
    expect((await cli.run(["process", "kill", id, pid])).code).toBe(3);
    expect((await cli.run(["process", "kill", id, pid, "-s", "SIGNAL"])).code).toBe(2);
    expect((await cli.run(["process", "logs", id, "nothing"])).code).toBe(2);
  });
});

describe("git", () => {
  test("clone, status, add, commit, log, diff, branch, checkout, push", async () => {
    const machine = await client.machines.connect(id);
    const served = inMachine("served.git");
    await machine.git.init({ path: served, bare: true });
    const url = `file://${served}`;
    expect(await ok(["git", "clone", id, url, "app"])).toBe(`${inMachine("app")}\n`);
    writeFileSync(inMachine("app/a.txt"), "one\n");
    const app = ["-C", "app"];
    expect(await ok(["git", "status", id, ...app])).toContain("?? a.txt\n");
    expect((await cli.run(["git", "add", id, ...app])).code).toBe(2);
    await ok(["git", "add", id, "--all", ...app]);
    const by = ["--author", "Ada <ada@example.com>"];
    expect(await ok(["git", "commit", id, ...app, "-m", "Begin", ...by])).toMatch(
      /^[0-9a-f]{9} .*Begin {2}Ada, \ds ago\n$/,
    );
    await ok(["git", "push", id, ...app, "-u"]);
    expect(await json(["git", "status", id, ...app])).toMatchObject({ clean: true, ahead: 0 });
    expect(await json(["git", "log", id, ...app])).toMatchObject({ items: [{ subject: "Begin" }] });
    writeFileSync(inMachine("app/a.txt"), "two\n");
    expect(await ok(["git", "diff", id, ...app])).toContain("-one\n+two\n");
    expect(await ok(["git", "diff", id, ...app, "--stat"])).toMatch(/a.txt +modified +\+1 -1\n/);
    await ok(["git", "checkout", id, ...app, "-b", "topic"]);
    expect(await ok(["git", "branch", id, ...app])).toMatch(/^\* topic /m);
    expect((await cli.run(["git", "checkout", id, "no-such", ...app])).code).toBe(3);
  });

  test("a password never stands in the arguments, and is not asked for without a terminal", async () => {
    const args = ["git", "clone", id, "https://example.com/x.git", "--username", "me"];
    const { code, stderr } = await cli.run(args);
    expect([code, stderr]).toEqual([2, expect.stringContaining("NULLSPACE_GIT_PASSWORD")]);
    expect(await ok(["git", "clone", "--help"])).not.toMatch(/--password/);
  });
});

test("completion and help know every command", async () => {
  const script = await ok(["completion", "bash"]);
  for (const words of ["files search", "process attach", "git clone", "shell", "cp"]) {
    expect(script).toContain(`"${words}") words=`);
    expect(await ok([...words.split(" "), "--help"])).toContain("Usage:");
  }
});
