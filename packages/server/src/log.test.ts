import { TOKEN_FAMILIES } from "@nullspace/proto/tokens";
import { expect, test } from "vitest";
import { openLog, takeConsole } from "./log.js";

test("no credential leaves by the log, however it came there, and each line stays JSON", () => {
  let text = "";
  const log = openLog("trace", { write: (line) => (text += line) });
  const secret = "x".repeat(44);
  for (const { prefix, kind } of Object.values(TOKEN_FAMILIES)) {
    const body = kind === "random" ? `abcdefghijkl_${secret}` : `abcdefgh.${secret}.${secret}`;
    const token = prefix + body;
    log.info({ token, nested: { url: `/v1/files/m1/a?path=%2Fa&signature=${token}` } }, token);
    log.warn({ err: new Error(`no machine "${token}"`, { cause: new Error(token) }) }, "failed");
    log.child({ [token]: 1 }).trace({ headers: { authorization: `Bearer ${token}` } }, "child");
    log.error(
      { cookie: `a=1; edge=${token}`, query: encodeURIComponent(`a=${token}`) },
      "\n" + token,
    );
  }
  const lines = text.trimEnd().split("\n");
  expect(lines).toHaveLength(4 * Object.keys(TOKEN_FAMILIES).length);
  for (const line of lines) expect(JSON.parse(line)).toHaveProperty("level");
  expect(text).toContain("[redacted]");
  expect(text).not.toContain("xxxx");
});

test("what a library writes to the console is in the log, without credentials", () => {
  let text = "";
  const { error, warn } = console;
  try {
    takeConsole(openLog("info", { write: (line) => (text += line) }));
    globalThis.console["error"](
      "handler failed",
      new Error(`no machine ns_abcdefghijkl_${"x".repeat(44)}`),
    );
  } finally {
    Object.assign(console, { error, warn });
  }
  expect(JSON.parse(text)).toHaveProperty("msg");
  expect(text).toContain("handler failed Error: no machine ns_abcdefghijkl_[redacted]");
});
