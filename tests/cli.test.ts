import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { parseJson, textAt } from "./support/json.js";
import { expectNothingLeft } from "./support/leaks.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";

const CLI = fileURLToPath(new URL("../packages/cli/dist/main.js", import.meta.url));

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ home: await linkHome(inject("preparedHome")) });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await removeHome(server.home);
});

interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

function start(args: string[], env: NodeJS.ProcessEnv = {}): ChildProcess {
  return spawn(process.execPath, [CLI, ...args], {
    env: {
      ...process.env,
      NULLSPACE_API_URL: server.url,
      NULLSPACE_API_KEY: server.apiKey,
      ...env,
    },
  });
}

async function ended(child: ChildProcess, stdin: string | Uint8Array = ""): Promise<Ended> {
  const output = { stdout: "", stderr: "" };
  child.stdout?.on("data", (data: Buffer) => (output.stdout += data.toString("latin1")));
  child.stderr?.on("data", (data: Buffer) => (output.stderr += data.toString()));
  child.stdin?.end(stdin);
  await once(child, "close");
  return { code: child.exitCode ?? -1, ...output };
}

async function nullspace(...args: string[]): Promise<Ended> {
  return await ended(start(args));
}

test("create, exec, list, get, kill", async () => {
  const created = await nullspace("machine", "create", "--metadata", "by=cli", "--json");
  expect(created).toMatchObject({ code: 0, stderr: "" });
  const id = textAt(parseJson(created.stdout), "id");

  const run = await nullspace("exec", id, "--", "sh", "-c", "echo out; echo err >&2; exit 9");
  expect(run).toEqual({ code: 9, stdout: "out\n", stderr: "err\n" });

  const bytes = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 31) & 0xff);
  const piped = await ended(start(["exec", id, "--", "cat"]), bytes);
  expect(Buffer.from(piped.stdout, "latin1").equals(bytes)).toBe(true);

  const list = await nullspace("machine", "list");
  expect(list.stdout).toContain(id);
  const got = await nullspace("machine", "get", id, "--json");
  expect(JSON.parse(got.stdout)).toMatchObject({ id, state: "running", metadata: { by: "cli" } });

  expect((await nullspace("machine", "kill", id)).code).toBe(0);
  const after = await nullspace("exec", id, "--", "true");
  expect(after.code).not.toBe(0);
  expect(after.stderr).toContain("killed");
  await expectNothingLeft(server.home, [id]);
});

test("Ctrl-C reaches the remote process", async () => {
  await using machine = await server.client.machines.create();
  const child = start(["exec", machine.id, "--", "sh", "-c", "echo up; exec sleep 6543"]);
  const finished = ended(child);
  if (child.stdout === null) throw new Error("no standard output");
  await once(child.stdout, "data");
  child.kill("SIGINT");
  expect((await finished).code).toBe(130);
  const left = await machine.commands.run("while pgrep -f 'sleep [6]543'; do sleep 0.1; done");
  expect(left.exitCode).toBe(0);
});

test("errors have exit codes that scripts can use", async () => {
  expect((await nullspace("machine", "create", "--template", "bsae")).code).toBe(3);
  expect((await nullspace("machine", "get", "m0000000000000000000")).code).toBe(3);
  expect((await nullspace("machine", "create", "--vcpus", "many")).code).toBe(2);
  expect((await ended(start(["machine", "list"], { NULLSPACE_API_KEY: "ns_no_no" }))).code).toBe(4);
});

test("keys: create, use, revoke", async () => {
  const created = await nullspace("key", "create", "second", "--json");
  const key = parseJson(created.stdout);
  const [id, secret] = [textAt(key, "id"), textAt(key, "secret")];
  const withSecond = { NULLSPACE_API_KEY: secret };
  expect((await ended(start(["machine", "list"], withSecond))).code).toBe(0);
  expect((await nullspace("key", "list")).stdout).toContain(id);
  expect((await nullspace("key", "revoke", id)).code).toBe(0);
  expect((await ended(start(["machine", "list"], withSecond))).code).toBe(4);
});

test("doctor says that this host is well", async () => {
  const result = await ended(start(["doctor", "--home", server.home]));
  expect(result).toMatchObject({ code: 0 });
  expect(result.stdout).toMatch(/accelerator/i);
});

test("server --json serves until it is told to stop", async () => {
  const home = await linkHome(inject("preparedHome"));
  const child = start(["server", "--json", "--port", "0", "--home", home]);
  if (child.stdout === null) throw new Error("no standard output");
  const line: unknown = (await once(child.stdout, "data")).at(0);
  const ready = parseJson(String(line));
  expect(textAt(ready, "consoleUrl")).toContain("/console");
  expect((await fetch(new URL("/readyz", textAt(ready, "url")))).status).toBe(200);
  child.kill("SIGTERM");
  await once(child, "exit");
  expect(child.exitCode).toBe(0);
  await removeHome(join(home));
});
