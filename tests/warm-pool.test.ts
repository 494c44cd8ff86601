import { ResourceExhaustedError } from "@nullspace/sdk";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { expectNothingLeft } from "./support/leaks.js";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";
import { until } from "./support/until.js";

let server: TestServer;

beforeAll(async () => {
  const home = await linkHome(inject("preparedHome"));
  server = await startServer({ home, args: ["--warm-pool", "base=1"] });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await expectNothingLeft(server.home);
  await removeHome(server.home);
});

test("a machine that waits is handed out once, as a machine of its own, and replaced", async () => {
  const { machines } = server.client;
  const take = async () =>
    await until("one waits", async () => {
      return await machines.create({ warmPool: "require" }).catch((error: unknown) => {
        if (error instanceof ResourceExhaustedError && error.reason === "WARM_POOL_EMPTY") {
          return undefined;
        }
        throw error;
      });
    });
  await using first = await take();
  await using second = await take();
  expect((await machines.getInfo(first.id)).fromWarmPool).toBe(true);
  // What warming up has run is nobody's.
  expect(await first.commands.list()).toEqual([]);
  const identity = "hostname; cat /etc/machine-id; cat /proc/sys/kernel/random/uuid";
  const [a, b] = [await first.commands.run(identity), await second.commands.run(identity)];
  const facts = [a, b].flatMap(({ stdout }) => stdout.trim().split("\n"));
  expect(new Set(facts).size).toBe(6);
  expect(a.stdout).toContain(first.id);
  expect(first.receipt).toMatchObject({ entropyReseeded: true, identityRenewed: true });

  await using cold = await machines.create({ warmPool: "off" });
  expect((await machines.getInfo(cold.id)).fromWarmPool).toBe(false);
});
