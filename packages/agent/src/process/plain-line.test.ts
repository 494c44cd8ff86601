import { execFileSync } from "node:child_process";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
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
      { numRuns: 3000 },
    );
    expect(taken).toBeGreaterThan(20);
  });

  test.each(["ls", "ls -la /tmp", "git  status", "dd if=/dev/zero count=1", "./a.out", "true"])(
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
    expect(taken.toSorted()).toEqual(["false", "true"]);
  });

  test.each(["BASH_ENV=/a", "BASH_FUNC_ls%%=() { :; }", "SHELLOPTS=xtrace"])(
    "leaves every line to a shell that %s steers",
    (variable) => {
      expect(plainWords("ls", ["PATH=/bin", variable])).toBeUndefined();
    },
  );
});
