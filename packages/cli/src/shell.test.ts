import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Nullspace } from "@nullspace/sdk";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type AgentServer, startAgentServer } from "../../server/src/testing/agent-server.js";
import { Cli } from "./testing/cli.js";
import { Tmux } from "./testing/tmux.js";

let server: AgentServer;
let client: Nullspace;
let id: string;
let env: Record<string, string>;

beforeAll(async () => {
  server = await startAgentServer();
  client = new Nullspace({ url: server.url, apiKey: server.apiKey });
  ({ id } = await client.machines.create());
  env = {
    HOME: server.agent.folder,
    NULLSPACE_HOME: join(server.agent.folder, "none"),
    NULLSPACE_API_URL: server.url,
    NULLSPACE_API_KEY: server.apiKey,
    ID: id,
  };
});
afterAll(async () => {
  client.close();
  await server[Symbol.asyncDispose]();
});

const SHELL = "ns shell $ID -e PS1='remote> ' -- bash --norc --noprofile";

describe("shell", () => {
  test("keys, Ctrl-C, size, resize and the exit code", async () => {
    using terminal = new Tmux(env);
    terminal.enter(SHELL);
    await terminal.shows(/remote>$/);
    terminal.enter("stty size");
    expect(await terminal.shows(/30 100\s+remote>$/)).toContain("stty size");
    terminal.resize(90, 25);
    terminal.enter("clear; until stty size | grep '25 90'; do :; done");
    await terminal.shows(/25 90\s+remote>$/);
    terminal.enter("clear; echo wait''ing; sleep 1000");
    await terminal.shows(/waiting/);
    terminal.press("C-c");
    await terminal.shows(/\^C\s+remote>$/);
    terminal.enter("exit 7");
    await terminal.shows(/local>$/);
    terminal.enter("echo code $?");
    await terminal.shows(/code 7/);
    // The terminal is as it was: what is typed shows, and lines are edited.
    terminal.enter("stty -a | grep -o ' icanon'");
    await terminal.shows(/\n icanon/);
  });

  test("a program on the whole screen, left with ~. and shown again as it is", async () => {
    writeFileSync(join(server.agent.folder, "rows"), rows());
    using terminal = new Tmux(env);
    terminal.enter(`ns shell $ID -- less rows`);
    await terminal.shows(/row 29\b/);
    terminal.press("Space");
    await terminal.shows(/row 58\b/);
    // less knows no ~, so the line is its own until Enter.
    terminal.press("Enter");
    await terminal.shows(/row 59\b/);
    terminal.type("~.");
    const left = await terminal.shows(/left pty\S+, which goes on/);
    const session = /left (pty\S+),/.exec(left)?.[1] ?? "";
    terminal.enter(`echo code $?; ns shell $ID --list`);
    const listed = await terminal.shows(/100x30 .* less rows/);
    expect(listed).toContain("code 0");
    expect(listed).toMatch(new RegExp(`${session} +running .* 100x30 +0 +less`));
    terminal.enter(`clear; ns shell $ID --attach ${session}`);
    const shown = await terminal.shows(/row 59\b/);
    expect(shown).not.toContain("local>");
    terminal.press("q");
    await terminal.shows(/local>$/);
  });

  test("~? tells the keys, and ~~ types one", async () => {
    using terminal = new Tmux(env);
    terminal.enter(SHELL);
    await terminal.shows(/remote>$/);
    terminal.type("~?");
    await terminal.shows(/~\. +leave/);
    terminal.enter("~~. 2> /dev/null; echo home ~~ | wc -w");
    expect(await terminal.shows(/\n2\s/)).not.toContain("left pty");
    terminal.enter("exit");
    await terminal.shows(/local>$/);
  });

  test("SIGTERM leaves the session alone and restores the terminal", async () => {
    using terminal = new Tmux(env);
    terminal.enter("ns shell $ID -e MARK=1 -e PS1='remote> ' -- bash --norc");
    await terminal.shows(/remote>$/);
    execFileSync("pkill", ["-TERM", "-f", `main.js shell ${id} -e MARK=1`]);
    await terminal.shows(/left pty/);
    terminal.enter("echo code $?; stty -a | grep -o ' icanon'");
    expect(await terminal.shows(/\n icanon/)).toContain("code 143\n icanon");
  });

  test("a detached session, by its id, in JSON, and killed", async () => {
    const cli = new Cli(env);
    const begun = await cli.run(["shell", id, "--detach", "--", "sleep", "1000"]);
    const session = begun.stdout.toString().trim();
    expect(session).toMatch(/^pty/);
    const listed = await cli.run(["shell", id, "--list", "--json"]);
    expect(listed.stdout.toString()).toMatch(new RegExp(`"id":"${session}"[^}]*"running":true`));
    const killed = await cli.run(["shell", id, "--kill", session, "--json"]);
    expect(JSON.parse(killed.stdout.toString())).toEqual({ killed: session });
    const attached = await cli.run(["shell", id, "--attach", session]);
    expect(attached.code).toBe(137);
  });

  test("what is piped in is typed, and its end is the end of input", async () => {
    const cli = new Cli(env);
    const args = ["shell", id, "-e", "PS1=> ", "--", "bash", "--norc", "--noprofile"];
    const { code, stdout } = await cli.run(args, "echo $((6 * 7))\nexit 3\n");
    expect([code, stdout.toString().includes("42")]).toEqual([3, true]);
    expect((await cli.run(["shell", id, "--", "cat"], "x\n")).code).toBe(0);
  });

  test("mistakes on the command line", async () => {
    const cli = new Cli(env);
    expect((await cli.run(["shell", id, "--list", "--attach", "x"])).code).toBe(2);
    expect((await cli.run(["shell", id, "--attach", "x", "--", "ls"])).code).toBe(2);
    expect((await cli.run(["shell", id, "--attach", "pty_none"])).code).toBe(3);
    expect((await cli.run(["shell", id, "--", "no-such-program"])).code).toBe(2);
  });
});

function rows(): string {
  return Array.from({ length: 200 }, (_, index) => `row ${index + 1}\n`).join("");
}
