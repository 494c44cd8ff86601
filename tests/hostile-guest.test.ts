import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { NullspaceError } from "@nullspace/sdk";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { expectNothingLeft } from "./support/leaks.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";
import { until } from "./support/until.js";

const NODE = "/opt/nullspace/bin/node";
const HOSTILE_AGENT = new URL("support/guest/hostile-agent.ts", import.meta.url);
const ATTACKS = ["noise", "pings", "headers", "data", "updates"];

/** What the server may grow by, in MiB: it holds no more than windows of a channel. */
const MOST_GROWTH_MB = 96;

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ home: await linkHome(inject("preparedHome")) });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await removeHome(server.home);
});

/** Resident memory of the server at its most, in MiB. */
async function peakMemory(): Promise<number> {
  const status = await readFile(`/proc/${server.pid}/status`, "utf8");
  return Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]) / 1024;
}

test("root that takes its agent's place and floods the host harms its own machine only", async () => {
  const { machines } = server.client;
  const hostile = await machines.create({ timeoutSeconds: 0 });
  const neighbour = await machines.create({ timeoutSeconds: 0 });
  const before = await peakMemory();
  await hostile.files.write("agent.ts", await readFile(HOSTILE_AGENT));
  // Whoever starts the agent again stands still; the port is free when the agent is gone.
  await hostile.files.write(
    "take-over",
    `kill -STOP $(pgrep -f /opt/nullspace/.*supervise)
     kill -KILL $(pgrep -f agent/agent.mjs)
     until ${NODE} agent.ts ${ATTACKS.join(" ")} >/dev/console 2>&1; do sleep 0.1; done`,
  );
  await hostile.commands
    .run("setsid sh take-over </dev/null >/dev/null 2>&1 &", { user: "root" })
    .catch(() => undefined);
  const consoleLog = join(server.home, "machines", hostile.id, "console.log");
  await until("the port is taken", async () =>
    (await readFile(consoleLog, "utf8")).includes("hostile: ready"),
  );
  for (const attack of ATTACKS) {
    const attacked = hostile.commands.run("true", { requestTimeoutMs: 20_000 });
    const [error, { stdout }] = await Promise.all([
      attacked.catch((failure: unknown) => failure),
      neighbour.commands.run(`echo beside ${attack}`),
    ]);
    expect(error).toBeInstanceOf(NullspaceError);
    expect(stdout).toBe(`beside ${attack}\n`);
  }
  expect((await peakMemory()) - before).toBeLessThan(MOST_GROWTH_MB);
  expect((await machines.getInfo(hostile.id)).state).toBe("running");
  await hostile.kill();
  expect((await neighbour.commands.run("echo still here")).stdout).toBe("still here\n");
  await neighbour.kill();
  await expectNothingLeft(server.home, [hostile.id, neighbour.id]);
});
