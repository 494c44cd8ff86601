import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { redactSecrets, TOKEN_FAMILIES } from "@nullspace/proto/tokens";
import { beforeEach, describe, expect, test, vi } from "vitest";
import setup from "./global-setup.ts";
import { keepLog, LOGS_VARIABLE, scanLogs } from "./scan.ts";

/** A credential of every family there is. */
const TOKENS = Object.values(TOKEN_FAMILIES).map(({ prefix, kind }) =>
  kind === "random"
    ? `${prefix}abcdefghijkl_${"x".repeat(44)}`
    : `${prefix}abcdefgh.${"x".repeat(43)}.eyJhIjoxfQ`,
);

const lineWith = (token: string) => JSON.stringify({ level: 30, msg: `refused ${token} again` });

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "scan-"));
  return async () => rm(folder, { recursive: true });
});

describe("the scan", () => {
  test.each(TOKENS)("finds a planted credential, and does not show it: %s", async (token) => {
    await writeFile(join(folder, "1.log"), `{"msg":"ready"}\n${lineWith(token)}\n`);
    await writeFile(join(folder, "2.log"), `{"msg":"ready"}\n`);
    const { lines, found } = await scanLogs(folder);
    expect(lines).toBe(3);
    expect(found).toEqual([redactSecrets(lineWith(token))]);
    expect(found.join()).not.toContain("xxxx");
  });

  test("finds nothing in lines that were redacted", async () => {
    const lines = TOKENS.map((token) => redactSecrets(lineWith(token)));
    await writeFile(join(folder, "1.log"), lines.join("\n"));
    expect(await scanLogs(folder)).toEqual({ lines: TOKENS.length, found: [] });
  });
});

test("a run whose servers log a credential fails at its end", async () => {
  vi.stubEnv(LOGS_VARIABLE, "");
  const passes = await setup();
  keepLog(1, '{"msg":"ready"}\n');
  await passes();
  const fails = await setup();
  // A line that comes in pieces, with another server's between.
  const line = `${lineWith(TOKENS[0] ?? "")}\n`;
  keepLog(1, line.slice(0, 60));
  keepLog(2, '{"msg":"ready"}\n');
  keepLog(1, line.slice(60));
  await expect(fails()).rejects.toThrow("1 logged lines hold a credential");
  vi.unstubAllEnvs();
});
