import { execFileSync, type StdioOptions } from "node:child_process";
import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestAgent, type TestAgent } from "../testing/agent.js";
import type { Host } from "../testing/dial.js";
import { collect } from "../testing/output.js";
import { plainWords } from "./plain-line.js";

const SHELL = "/bin/bash";

describe("plainWords", () => {
  test("takes a line apart as a shell does, or leaves it to one", () => {
    const character = fc.constantFrom(
      ...Array.from(`aZ09_@%+:,./=-   ~*?[]{}()<>|&;!#$\`'"\\^\t\n\0ü`),
    );
    const line = fc.array(character, { minLength: 1, maxLength: 12 }).map((all) => all.join(""));
    let taken = 0;
    fc.assert(
      fc.property(line, (text) => {
        const words = plainWords(`program ${text}`, []);
        if (words === undefined) return;
        taken++;
        const shown = execFileSync(SHELL, ["-c", `/usr/bin/printf '%s\\n' ${text}`], { cwd: "/" });
        expect([...words.slice(1), ""]).toEqual(shown.toString().split("\n"));
      }),
      { numRuns: 1000 },
    );
    expect(taken).toBeGreaterThan(20);
  }, 30_000);

  test.each(["ls", "ls -la /tmp", "git  status", "dd if=/dev/zero count=1", "./a.out"])(
    "starts %j without a shell",
    (line) => {
      expect(plainWords(line, ["PATH=/bin"])).toEqual(line.split(/ +/));
    },
  );

  test.each([
    "",
    " ls",
    "ls ",
    "a=1 ls",
    "a=1",
    "ls | wc",
    "ls;ls",
    "ls &",
    "echo $HOME",
    "ls ~",
    "ls *",
    "a\nb",
    "~/a",
    "#a",
    "ls {a,b}",
    "!ls",
    "[ a ]",
  ])("leaves %j to a shell", (line) => {
    expect(plainWords(line, [])).toBeUndefined();
  });

  test("leaves everything that shells do themselves to a shell", () => {
    const own = execFileSync(SHELL, ["-c", "compgen -b; compgen -k"]).toString().trim().split("\n");
    const taken = own.filter((word) => plainWords(`${word} a`, []) !== undefined);
    expect(taken).toEqual([]);
    expect(plainWords("true", [])).toEqual(["/usr/bin/true"]);
  });

  test.each([
    "BASH_ENV=/a",
    "BASH_FUNC_ls%%=() { :; }",
    "SHELLOPTS=xtrace",
    "EXECIGNORE=/bin/*",
    "POSIXLY_CORRECT=",
    "LC_ALL=nowhere",
    "LANG=nowhere",
    "PATH=",
    "PATH=bin:/bin",
    "PATH=/bin:",
    "PATH=/bin::/usr/bin",
    "PATH=~/bin:/bin",
    "a-b=1",
    "SSH_CLIENT=",
  ])("leaves every line to a shell that %s steers", (variable) => {
    expect(plainWords("ls", [variable])).toBeUndefined();
  });

  test("leaves every line to a shell with a variable that bash would change", () => {
    // From a socket, as Node gives by itself, bash would read its user's settings.
    const stdio: StdioOptions = ["ignore", "pipe", "inherit"];
    const bash = (line: string, env: Record<string, string>) =>
      execFileSync(SHELL, ["-c", line], { env, stdio }).toString().trim();
    const own = bash("compgen -v", {});
    const taken = own.split("\n").filter((name) => plainWords("ls", [`${name}=1`]) !== undefined);
    expect(taken).toContain("SHELL");
    const env = Object.fromEntries(taken.map((name) => [name, "1"]));
    const seen = bash("/usr/bin/env", env).split("\n");
    expect(seen).toEqual(expect.arrayContaining(taken.map((name) => `${name}=1`)));
  });
});

describe("a line that is started without a shell", () => {
  let agent: TestAgent;
  let host: Host;
  let bin: string;
  beforeAll(async () => {
    agent = await startTestAgent();
    host = await agent.dial();
    bin = join(agent.folder, "bin");
    await mkdir(join(bin, "folder"), { recursive: true });
    await symlink(bin, join(agent.folder, "link"));
    const files: [string, string, number][] = [
      ["a-script", '#!/bin/sh\necho "$0|$*|$_"\n', 0o755],
      ["no-first-line", 'echo "$BASH_VERSION|$0|$*"\n', 0o755],
      ["no-interpreter", "#!/nowhere\n", 0o755],
      ["not-executable", "#!/bin/sh\necho ran\n", 0o644],
      ["true", "#!/bin/sh\necho another\n", 0o755],
      ["cd", "#!/bin/sh\necho a program\n", 0o755],
      ["%1", "#!/bin/sh\necho a program\n", 0o755],
    ];
    for (const [name, content, mode] of files) {
      await writeFile(join(bin, name), content);
      await chmod(join(bin, name), mode);
    }
  });
  afterAll(async () => {
    await host[Symbol.asyncDispose]();
    await agent[Symbol.asyncDispose]();
  });

  /** All that can be seen of a process, the environment in order. */
  async function outcome(request: Parameters<Host["process"]["start"]>[0]) {
    const { stdout, stderr, exit } = await collect(host.process.start(request));
    const order = (text: string) =>
      text
        .split(/[\0\n]/)
        .toSorted()
        .join("\n");
    return { stdout: order(stdout), stderr, exit };
  }

  test("does, says and sees what it does by bash", async () => {
    const program = fc.constantFrom(
      ..."env a-script no-first-line no-interpreter not-executable folder missing true false cd %1".split(
        " ",
      ),
      ..."./a-script ./missing ./folder ./no-first-line ./not-executable /usr/bin/env exit : echo".split(
        " ",
      ),
    );
    const word = fc.constantFrom("-0", "a", "a=b", "--", "%1", "a:b", "1,2");
    const line = fc
      .tuple(program, fc.array(word, { maxLength: 2 }))
      .map(([name, words]) => [name, ...words].join(" "));
    const variable = fc.constantFrom(
      ..."A FOO_1 SHELL TMPDIR TERM TZ PS4 SHLVL PWD OLDPWD _ IFS OPTIND LANG LC_ALL UID".split(
        " ",
      ),
      ..."BASH_ENV POSIXLY_CORRECT HOME COLUMNS EXECIGNORE HOSTNAME HISTFILE a-b GLOBIGNORE SSH_CLIENT".split(
        " ",
      ),
    );
    const value = fc.constantFrom("", "5", "a b", "C.UTF-8", "/", "() { :; }");
    const path = fc.constantFrom(
      "@:/usr/bin:/bin",
      "/usr/bin:@",
      "@/:/bin",
      "/nowhere",
      "",
      ":@",
      "bin:/bin",
    );
    const cwd = fc.constantFrom("bin", "link", "/");
    await fc.assert(
      fc.asyncProperty(
        line,
        fc.dictionary(variable, value, { maxKeys: 2 }),
        fc.option(path, { nil: undefined }),
        cwd,
        async (command, others, folders, place) => {
          const PATH = (folders ?? "@:/usr/bin:/bin").replaceAll("@", bin);
          const how = { cwd: join(agent.folder, place), envs: { ...others, PATH } };
          const byBash = await outcome({
            command: SHELL,
            args: ["-c", command],
            exec: true,
            ...how,
          });
          expect(await outcome({ command, ...how })).toEqual(byBash);
        },
      ),
      { numRuns: 100 },
    );
  }, 60_000);
});
