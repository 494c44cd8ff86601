import { afterAll, beforeAll, expect, test } from "vitest";
import { InvalidArgumentError, NotFoundError } from "./errors.js";
import { Nullspace } from "./nullspace.js";
import { FakeServer } from "./testing/fake-server.js";

let server: FakeServer;
beforeAll(async () => {
  server = await FakeServer.start();
});
afterAll(async () => server[Symbol.asyncDispose]());

test("access is granted, listed and revoked", async () => {
  await using client = new Nullspace({ url: server.url, apiKey: server.apiKey });
  await using machine = await client.machines.create();
  const publicKey = "ssh-ed25519 AAAA";
  const access = await machine.createSshAccess({ publicKey, expiresInMinutes: 5 });
  expect(access).toMatchObject({
    machineId: machine.id,
    user: "user",
    relayUrl: `ws://127.0.0.1:${server.port}/v1/ssh/${machine.id}`,
    relayToken: "nssh_a1_secret",
    knownHosts: `${machine.id} ssh-ed25519 AAAA`,
    revokedAt: undefined,
    lastUsedAt: undefined,
    useCount: 0,
  });
  expect(access.expiresAt.getTime() - access.createdAt.getTime()).toBeCloseTo(300_000, -3);
  await client.machines.createSshAccess(machine.id, { publicKey });

  const ids = [];
  for await (const { id } of machine.listSshAccess()) ids.push(id);
  expect(ids).toEqual(["a2", "a1"]);
  expect(
    Object.keys((await client.machines.listSshAccess(machine.id)).items[0] ?? {}),
  ).not.toContain("relayToken");
  expect((await machine.revokeSshAccess(access.id)).revokedAt).toBeInstanceOf(Date);
  await expect(client.machines.revokeSshAccess("a9")).rejects.toBeInstanceOf(NotFoundError);
  await expect(machine.createSshAccess({ publicKey: "nonsense" })).rejects.toBeInstanceOf(
    InvalidArgumentError,
  );
});
