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

/**
 * Draws random bytes round after round. When the clock has been set it says in which round it saw
 * that, and what it drew from then on.
 */
const FIRST_OF_ITS_CLOCK = `
import os, time
offset, count, drawn = time.time() - time.monotonic(), 0, []
print("begun", flush=True)
while len(drawn) < 100:
    count += 1
    value = os.urandom(8).hex()
    before, now, after = time.monotonic(), time.time(), time.monotonic()
    # Interrupted between the two clocks: they cannot be compared.
    if not drawn and (after - before > 0.002 or abs(now - after - offset) < 0.02): continue
    drawn.append(value)
    if len(drawn) == 1: print(count, end=" ")
print(*drawn)
`;

test("a program that runs through a fork goes on when its copy's clock and random pool are set", async () => {
  await using machine = await server.client.machines.create();
  await machine.files.write("/tmp/rounds.py", FIRST_OF_ITS_CLOCK);
  const begun = Promise.withResolvers<unknown>();
  const onStdout = begun.resolve;
  const running = await machine.commands.run("python3 /tmp/rounds.py", {
    background: true,
    onStdout,
  });
  await begun.promise;
  const rounds: number[] = [];
  const drawn: string[] = [];
  for (const { machine: child } of await machine.fork({ count: 3 })) {
    if (child === undefined) throw new Error("a child is missing");
    const { stdout } = await (await child.commands.connect(running.pid)).wait();
    const [round, ...values] = stdout.replace("begun\n", "").trim().split(" ");
    rounds.push(Number(round));
    // The first may have been drawn before the fork, in the round that it fell into.
    drawn.push(...values.slice(1));
    await child.kill();
  }
  // All count from one instant: whoever reads the old clock once more sees the new one rounds later.
  expect(Math.max(...rounds) - Math.min(...rounds)).toBeLessThanOrEqual(1);
  expect(drawn).toHaveLength(3 * 99);
  expect(new Set(drawn).size).toBe(drawn.length);
});

test("the receipt confirms clock, entropy and identity", async () => {
  await using machine = await server.client.machines.create();
  expect(machine.receipt).toMatchObject({
    kind: "template",
    entropyReseeded: true,
    identityRenewed: true,
  });
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
