import type { Machine } from "@nullspace/sdk";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";

let server: TestServer;

beforeAll(async () => {
  server = await startServer({ home: await linkHome(inject("preparedHome")) });
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await removeHome(server.home);
});

/** What tells one machine from another, printed one fact a line. */
const IDENTITY = [
  "cat /etc/machine-id",
  "hostname",
  "cat /proc/sys/kernel/random/uuid",
  "head -c 32 /dev/urandom | sha256sum",
  "cat /etc/ssh/ssh_host_ed25519_key.pub",
].join("; ");

test("two machines of one memory image share no identity and no random bytes", async () => {
  const { machines } = server.client;
  await using first = await machines.create();
  await using second = await machines.create();
  const [a, b] = await Promise.all([first.commands.run(IDENTITY), second.commands.run(IDENTITY)]);
  const lines = [a, b].flatMap((result) => result.stdout.trim().split("\n"));
  expect(lines).toHaveLength(10);
  expect(new Set(lines).size).toBe(10);
  expect(a.stdout).toContain(first.id);
});

test("OpenSSH takes the host key that a machine has from the start, and nobody else can read it", async () => {
  await using machine = await server.client.machines.create();
  const key = "/etc/ssh/ssh_host_ed25519_key";
  const look = async (of: Machine) => {
    const { stdout } = await of.commands.run(
      `ssh-keygen -y -f ${key}; cat ${key}.pub; stat -c "%a %U" ${key} ${key}.pub; ls /etc/ssh | grep -c ssh_host_`,
      { user: "root" },
    );
    const [derived = "", written, ...others] = stdout.trim().split("\n");
    expect(derived).toMatch(/^ssh-ed25519 /);
    expect(written).toBe(derived);
    expect(others).toEqual(["600 root", "644 root", "2"]);
    return derived;
  };
  const first = await look(machine);
  // Whatever was done to the files, the next machine's key is nobody else's.
  await machine.commands.run(`ssh-keygen -q -t rsa -b 1024 -N "" -f /etc/ssh/ssh_host_rsa_key`, {
    user: "root",
  });
  await machine.commands.run(`chown user ${key}; chmod 644 ${key}; rm ${key}.pub`, {
    user: "root",
  });
  await using child = await machine.fork();
  expect(await look(child)).not.toBe(first);
});

test("the receipt confirms clock, entropy and identity", async () => {
  await using machine = await server.client.machines.create();
  expect(machine.receipt).toMatchObject({ entropyReseeded: true, identityRenewed: true });
  expect(machine.receipt?.generation).toBe(1);
  expect(Math.abs(machine.receipt?.clockSkewMs ?? Infinity)).toBeLessThanOrEqual(100);

  // Not only by its own word: the guest's clock lies between our two readings,
  // give or take what the guest may be off.
  const before = Date.now();
  const { stdout } = await machine.commands.run("date +%s%3N");
  const after = Date.now();
  expect(Number(stdout)).toBeGreaterThanOrEqual(before - 100);
  expect(Number(stdout)).toBeLessThanOrEqual(after + 100);
});
