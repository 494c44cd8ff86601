import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { ErrorReason, MachineState } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { FakeServer } from "../../sdk/src/testing/fake-server.js";
import { Cli, collect } from "./testing/cli.js";

let server: FakeServer;
let home: string;
let cli: Cli;
beforeAll(async () => {
  server = await FakeServer.start();
  home = await mkdtemp(join(tmpdir(), "nullspace-cli-"));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(home, { recursive: true, force: true });
});
beforeEach(() => {
  server.onCall = undefined;
  cli = new Cli({
    HOME: home,
    NULLSPACE_HOME: join(home, "none"),
    NULLSPACE_API_URL: server.url,
    NULLSPACE_API_KEY: server.apiKey,
  });
});

/** What a run printed as JSON; what is in it is for the expectations to say. */
function parse(output: Buffer): Record<string, unknown> {
  const value: unknown = JSON.parse(output.toString());
  if (typeof value === "object" && value !== null) return { ...value };
  throw new Error(`this is no JSON object: ${output.toString()}`);
}

describe("machine", () => {
  test("create prints nothing but the id", async () => {
    const { code, stdout, stderr } = await cli.run(["machine", "create"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout.toString()).toMatch(/^m\d+\n$/);
  });

  test("create, get, list, timeout and kill in JSON", async () => {
    const flags = ["-m", "by=cli", "-m", "n=a=b", "--memory-mb", "1024", "--timeout", "2h"];
    const created = await cli.run(["machine", "create", ...flags, "--json"]);
    const machine = parse(created.stdout);
    expect(machine).toMatchObject({
      state: "running",
      memoryMb: 1024,
      metadata: { by: "cli", n: "a=b" },
      receipt: { entropyReseeded: true },
    });
    expect(server.machines.created.at(-1)).toMatchObject({ timeoutSeconds: 7200 });
    const id = String(machine.id);

    expect(parse((await cli.run(["machine", "get", id, "--json"])).stdout)).toMatchObject({ id });
    const listed = await cli.run(["machine", "list", "-m", "by=cli", "--json"]);
    expect(parse(listed.stdout)).toMatchObject({ items: [{ id }], nextCursor: null });
    const timed = await cli.run(["machine", "timeout", id, "0", "--json"]);
    expect(parse(timed.stdout)).toMatchObject({ id });
    expect(server.machines.find(id).timeoutAt).toBeUndefined();
    expect(parse((await cli.run(["machine", "kill", id, "--json"])).stdout)).toEqual({
      killed: [id],
    });
    expect(server.machines.find(id).state).toBe(MachineState.KILLED);
  });

  test("list is a table without colours in a pipe", async () => {
    const { id } = server.machines.add({ metadata: { table: "yes" } });
    const { stdout } = await cli.run(["machine", "list", "-m", "table=yes"]);
    const [heading, row] = stdout.toString().split("\n");
    expect(heading).toMatch(/^ID +STATE +TEMPLATE +VCPUS +MEMORY +AGE +LEFT +METADATA$/);
    expect(row).toMatch(new RegExp(`^${id} +running +base:1 +1 +512 MiB +\\ds +- +table=yes$`));
  });

  test("list by pages and all at once", async () => {
    for (let i = 0; i < 3; i++) server.machines.add({ metadata: { page: "yes" } });
    const args = ["machine", "list", "-m", "page=yes", "--limit", "2", "--json"];
    const page = parse((await cli.run(args)).stdout);
    expect(page.items).toHaveLength(2);
    const rest = parse((await cli.run([...args, "--cursor", String(page.nextCursor)])).stdout);
    expect(rest).toMatchObject({ nextCursor: null });
    const all = parse((await cli.run([...args, "--all"])).stdout);
    expect(all.items).toHaveLength(3);
  });

  test("one kill that fails does not keep the others", async () => {
    const { id } = server.machines.add();
    const { code, stdout, stderr } = await cli.run(["machine", "kill", "m-none", id]);
    expect(code).toBe(3);
    expect(stdout.toString()).toBe(`${id}\n`);
    expect(stderr).toContain("m-none");
  });
});

describe("time travel", () => {
  test("pause and resume print ids, by machine and by snapshot", async () => {
    const { id } = server.machines.add();
    const paused = await cli.run(["machine", "pause", id]);
    const snapshotId = paused.stdout.toString().trim();
    expect(server.machines.find(id).pausedSnapshotId).toBe(snapshotId);
    const resumed = (await cli.run(["machine", "resume", id])).stdout.toString().trim();
    expect(server.machines.find(id).resumedAs).toBe(resumed);
    const again = await cli.run(["machine", "resume", snapshotId, "--json"]);
    expect(parse(again.stdout)).toMatchObject({ id: resumed, parentId: id, state: "running" });
    const told = (await cli.run(["machine", "get", id])).stdout.toString();
    expect(told).toMatch(new RegExp(`goes on as +${resumed}\n`));
  });

  test("a pause of what does not run is a conflict", async () => {
    const { id } = server.machines.add({ state: MachineState.KILLED });
    expect((await cli.run(["machine", "pause", id])).code).toBe(7);
  });

  test("fork prints the copies, and of one that failed why", async () => {
    const { id } = server.machines.add();
    const { code, stdout } = await cli.run(["machine", "fork", id, "-n", "3"]);
    expect(code).toBe(0);
    expect(stdout.toString()).toMatch(/^(m\d+\n){3}$/);

    const noRoom = new Fault(ErrorReason.CAPACITY_EXCEEDED, "no room");
    server.machines.childFailure = noRoom;
    const failed = await cli.run(["machine", "fork", id, "-n", "2"]);
    expect(failed.code).toBe(6);
    expect(failed.stderr).toContain("no room");
    expect(failed.stdout.toString()).toMatch(/^m\d+\n$/);
    server.machines.childFailure = noRoom;
    const json = await cli.run(["machine", "fork", id, "-n", "2", "--json"]);
    expect(json.code).toBe(6);
    expect(parse(json.stdout)).toMatchObject({
      children: [{ error: { reason: "CAPACITY_EXCEEDED" } }, { receipt: { generation: 2 } }],
    });
  });

  test("a snapshot is taken, shown, started from and deleted", async () => {
    const { id } = server.machines.add();
    const taken = await cli.run(["machine", "snapshot", id, "--name", "ready", "-m", "a=1"]);
    const snapshotId = taken.stdout.toString().trim();
    const { stdout } = await cli.run(["snapshot", "list", "--machine", id]);
    const [heading, row] = stdout.toString().split("\n");
    expect(heading).toMatch(/^ID +KIND +NAME +MACHINE +PARENT +SIZE +AGE$/);
    expect(row).toMatch(new RegExp(`^${snapshotId} +reusable +ready +${id} +- +16.2 MiB +\\ds$`));
    const got = await cli.run(["snapshot", "get", snapshotId, "--json"]);
    expect(parse(got.stdout)).toMatchObject({ id: snapshotId, metadata: { a: "1" } });
    const flags = ["--snapshot", snapshotId, "--warm-pool", "off", "--on-timeout", "pause"];
    const more = ["--auto-resume", "--idle", "1h", "--delete-paused-after", "7d", "--json"];
    const created = await cli.run(["machine", "create", ...flags, ...more]);
    expect(parse(created.stdout)).toMatchObject({
      snapshotId,
      onTimeout: "pause",
      autoResume: true,
      idleSeconds: 3600,
      deletePausedAfterSeconds: 604_800,
    });
    expect((await cli.run(["snapshot", "rm", snapshotId])).stdout.toString()).toBe(
      `${snapshotId}\n`,
    );
    expect((await cli.run(["snapshot", "get", snapshotId])).code).toBe(3);
  });

  test("events are listed oldest first, and followed", async () => {
    const machine = server.machines.add();
    await cli.run(["machine", "pause", machine.id]);
    const { stdout } = await cli.run(["events", "--machine", machine.id]);
    const [first, second, third] = stdout.toString().trim().split("\n");
    expect(first).toMatch(new RegExp(`^\\S+Z  ${machine.id}  creating → running  request`));
    expect(second).toContain(`snapshot.created ${machine.pausedSnapshotId}`);
    expect(third).toContain("running → paused");

    const following = cli.start("events", "-f", "--machine", machine.id, "--json");
    if (following.stdout === null) throw new Error("its output is not piped");
    const lines = createInterface({ input: following.stdout });
    const seen: string[] = [];
    for await (const line of lines) {
      seen.push(line);
      if (seen.length === 3) server.machines.change(machine, { state: MachineState.KILLED });
      if (seen.length === 4) break;
    }
    following.kill();
    expect(JSON.parse(seen.at(-1) ?? "")).toMatchObject({ toState: "killed", cause: "request" });
  });
});

describe("exec", () => {
  test("passes streams and exit code through", async () => {
    const { id } = server.machines.add();
    const script = "echo out; echo err >&2; exit 9";
    const { code, stdout, stderr } = await cli.run(["exec", id, "--", "sh", "-c", script]);
    expect({ code, stdout: stdout.toString(), stderr }).toEqual({
      code: 9,
      stdout: "out\n",
      stderr: "err\n",
    });
  });

  test("options after -- belong to the command", async () => {
    const { id } = server.machines.add();
    const { stdout } = await cli.run([
      "exec",
      id,
      "-e",
      "A=1",
      "--",
      "printf",
      "%s,",
      "--json",
      "-e",
    ]);
    expect(stdout.toString()).toBe("--json,-e,");
  });

  test("bytes come through as they are, both ways", async () => {
    const { id } = server.machines.add();
    const bytes = randomBytes(3_000_000);
    const { stdout } = await cli.run(["exec", id, "--", "cat"], bytes);
    expect(Buffer.compare(stdout, bytes)).toBe(0);
  });

  test("an open standard input does not keep an ended command", async () => {
    const { id } = server.machines.add();
    const child = cli.start("exec", id, "--shell", "echo done | cat");
    expect(await collect(child)).toMatchObject({ code: 0, stdout: Buffer.from("done\n") });
  });

  test.each(["SIGINT", "SIGTERM"] as const)("%s reaches the command", async (signal) => {
    const { id } = server.machines.add();
    const script = `trap 'echo got it; exit 7' ${signal.slice(3)}; echo up; while :; do sleep 0.05; done`;
    const child = cli.start("exec", id, "--shell", script);
    const ended = collect(child);
    if (child.stdout === null) throw new Error("no standard output");
    await once(child.stdout, "data");
    child.kill(signal);
    const { code, stdout } = await ended;
    expect(stdout.toString()).toBe("up\ngot it\n");
    expect(code).toBe(7);
  });

  test("a reader that goes away ends the command", async () => {
    const { id } = server.machines.add();
    const child = cli.start("exec", id, "--", "yes");
    const ended = collect(child);
    if (child.stdout === null) throw new Error("no standard output");
    await once(child.stdout, "data");
    child.stdout.destroy();
    expect((await ended).code).toBe(141);
    await expect.poll(() => server.processes.list().processes[0]?.exit).toBeDefined();
  });

  test("--json collects the result", async () => {
    const { id } = server.machines.add();
    const { code, stdout } = await cli.run(["exec", id, "--json", "--shell", "echo hi; exit 4"]);
    expect(code).toBe(4);
    expect(parse(stdout)).toMatchObject({ exitCode: 4, stdout: "hi\n", signal: null });
  });

  test("needs a command, and only one", async () => {
    expect((await cli.run(["exec", "m1"])).code).toBe(2);
    expect((await cli.run(["exec", "m1", "--shell", "ls", "--", "ls"])).code).toBe(2);
  });

  test("a machine that does not run is told", async () => {
    const { id } = server.machines.add({ state: MachineState.KILLED });
    const { code, stderr } = await cli.run(["exec", id, "--", "true"]);
    expect(code).toBe(7);
    expect(stderr).toContain(`machine ${id} is killed`);
  });
});

describe("keys", () => {
  test("create, list, revoke", async () => {
    const created = parse((await cli.run(["key", "create", "ci", "--json"])).stdout);
    expect(created.name).toBe("ci");
    expect(created.secret).toMatch(/^ns_/);
    const id = String(created.id);
    expect((await cli.run(["key", "list"])).stdout.toString()).toMatch(`${id}  ci`);
    expect((await cli.run(["key", "revoke", id])).code).toBe(0);
    expect((await cli.run(["key", "list"])).stdout.toString()).toContain("revoked");
  });
});

describe("accounts", () => {
  const textOf = async (...args: string[]) => (await cli.run(args)).stdout.toString();

  test("keys of a project, with scopes", async () => {
    const args = ["key", "create", "reader", "--project", "team-a", "--json"];
    const created = parse(
      (await cli.run([...args, "--scope", "machines:read", "--scope", "audit:read"])).stdout,
    );
    expect(created).toMatchObject({
      project: "team-a",
      scopes: ["machines:read", "audit:read"],
    });
    const { code, stderr } = await cli.run(["key", "create", "x", "--scope", "machines:fly"]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("machines:read")]);
    expect(await textOf("key", "rotate-signing")).toMatch(/new .*signs\nold .*verifies until/);
  });

  test("projects: create, list, get, limit", async () => {
    expect(await textOf("project", "create", "team-a", "--machines", "5")).toBe("team-a\n");
    expect(await textOf("project", "list")).toMatch(/team-a .*machines=5/);
    expect(await textOf("project", "limit", "team-a", "--vcpus", "8")).toBe("team-a  vcpus=8\n");
    expect(await textOf("project", "get", "team-a")).toMatch(/machines +2 +no limit\nvcpus +4 +8/);
    expect((await cli.run(["project", "get", "nobody"])).code).toBe(3);
  });

  test("the audit trail", async () => {
    expect(await textOf("audit", "--key", "k7")).toMatch(/k7 +MachineService\/Create +m1 +ok +r1/);
    const page = parse((await cli.run(["audit", "--cursor", "2", "--json"])).stdout);
    expect(page).toMatchObject({ items: [{ outcome: "QUOTA_EXCEEDED" }], nextCursor: null });
  });
});

describe("failures", () => {
  const reasons = [
    [ErrorReason.MACHINE_NOT_FOUND, 3],
    [ErrorReason.INVALID_API_KEY, 4],
    [ErrorReason.FILE_PERMISSION_DENIED, 5],
    [ErrorReason.CAPACITY_EXCEEDED, 6],
    [ErrorReason.IDEMPOTENCY_CONFLICT, 7],
    [ErrorReason.MACHINE_START_FAILED, 8],
    [ErrorReason.INVALID_ARGUMENT, 2],
  ] as const;
  test.each(reasons)("reason %s is exit code %s", async (reason, expected) => {
    server.onCall = () => {
      throw new Fault(reason, "it failed", { remedy: "Do this." });
    };
    const { code, stdout } = await cli.run(["key", "create", "x", "--json"]);
    expect(code).toBe(expected);
    expect(parse(stdout)).toMatchObject({
      error: { reason: ErrorReason[reason], message: "it failed. Do this.", remedy: "Do this." },
    });
  });

  test("in words on stderr, with the remedy", async () => {
    const { code, stdout, stderr } = await cli.run(["machine", "create", "-t", "bsae"]);
    expect(code).toBe(3);
    expect(stdout.toString()).toBe("");
    expect(stderr).toBe('error: no template is named "bsae". Did you mean base?\n');
  });

  test("a mistake on the command line is 2, in JSON too", async () => {
    expect((await cli.run(["machine", "create", "--vcpus", "many"])).code).toBe(2);
    expect((await cli.run(["machine", "lst"])).stderr).toContain("Did you mean");
    expect((await cli.run(["machine"])).code).toBe(2);
    const { code, stdout, stderr } = await cli.run(["machine", "get", "--json"]);
    expect([code, stderr]).toEqual([2, ""]);
    expect(parse(stdout)).toMatchObject({ error: { reason: "USAGE" } });
  });

  test("no server is 8", async () => {
    cli.env.NULLSPACE_API_URL = "http://127.0.0.1:9";
    const { code, stderr } = await cli.run(["machine", "list"]);
    expect(code).toBe(8);
    expect(stderr).toContain("Is the server running");
  });
});

describe("which server and key", () => {
  test("login checks the key and stores it for its owner only", async () => {
    delete cli.env.NULLSPACE_API_KEY;
    const refused = await cli.run(["login"], "ns_wrong_key\n");
    expect(refused.code).toBe(4);
    const accepted = await cli.run(["login"], `${server.apiKey}\n`);
    expect(accepted.code).toBe(0);
    expect(accepted.stdout.toString()).not.toContain(server.apiKey);
    const file = join(home, ".config", "nullspace", "config.json");
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect(JSON.parse(await readFile(file, "utf8"))).toEqual({
      url: server.url,
      apiKey: server.apiKey,
    });

    delete cli.env.NULLSPACE_API_URL;
    expect((await cli.run(["machine", "list"])).code).toBe(0);
    // The stored key is for the stored server and goes to no other.
    const other = await cli.run(["machine", "list", "--url", "http://127.0.0.1:9"]);
    expect(other.code).toBe(4);
    expect(other.stderr).toContain("nullspace login");
    await rm(join(home, ".config"), { recursive: true });
  });

  test("login takes a key that may not list machines", async () => {
    cli.env.XDG_CONFIG_HOME = join(home, "narrow");
    server.onCall = () => {
      throw new Fault(ErrorReason.SCOPE_MISSING, "no scope machines:read");
    };
    expect((await cli.run(["login"], `${server.apiKey}\n`)).code).toBe(0);
  });

  test("the key of this computer's server is found", async () => {
    const serverHome = join(home, "server");
    await mkdir(serverHome);
    const credentials = { url: server.url, apiKey: server.apiKey };
    await writeFile(join(serverHome, "credentials.json"), JSON.stringify(credentials));
    cli = new Cli({ HOME: home, NULLSPACE_HOME: serverHome });
    expect((await cli.run(["machine", "list"])).code).toBe(0);
  });

  test("options win over the environment", async () => {
    const { code } = await cli.run(["machine", "list", "--api-key", "ns_wrong_key"]);
    expect(code).toBe(4);
  });

  test("without any key the remedy is told", async () => {
    delete cli.env.NULLSPACE_API_KEY;
    const { code, stderr } = await cli.run(["machine", "list"]);
    expect(code).toBe(4);
    expect(stderr).toContain("nullspace login");
  });

  test("a damaged file is told by name", async () => {
    await mkdir(join(home, ".config", "nullspace"), { recursive: true });
    await writeFile(join(home, ".config", "nullspace", "config.json"), "{");
    const { code, stderr } = await cli.run(["machine", "list"]);
    expect(code).toBe(1);
    expect(stderr).toContain("config.json is not JSON");
    await rm(join(home, ".config"), { recursive: true });
  });
});

test("help and version", async () => {
  const { code, stdout } = await cli.run(["--help"]);
  expect(code).toBe(0);
  expect(stdout.toString()).toContain("Examples:");
  expect((await cli.run(["--version"])).stdout.toString()).toMatch(/^\d+\.\d+\.\d+\n$/);
});

test.each(["bash", "zsh"])("the completion script for %s completes", async (shell) => {
  const { code, stdout } = await cli.run(["completion", shell]);
  expect(code).toBe(0);
  if (shell === "zsh") return;
  const script = `${stdout.toString()}
    COMP_WORDS=(nullspace machine k); COMP_CWORD=2; _nullspace; echo "\${COMPREPLY[*]}"
    COMP_WORDS=(nullspace machine create --mem); COMP_CWORD=3; _nullspace; echo "\${COMPREPLY[*]}"`;
  const { execFileSync } = await import("node:child_process");
  expect(execFileSync("bash", ["-c", script], { encoding: "utf8" })).toBe("kill\n--memory-mb\n");
});
