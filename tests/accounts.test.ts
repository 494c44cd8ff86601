import { type Machine, NotFoundError, Nullspace, PermissionError } from "@nullspace/sdk";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { linkHome, removeHome } from "./support/prepared-home.js";
import { startServer, type TestServer } from "./support/server.js";

let server: TestServer;
let owner: Nullspace;
let stranger: Nullspace;
let machine: Machine;

beforeAll(async () => {
  server = await startServer({
    home: await linkHome(inject("preparedHome")),
    args: ["--project-limit", "snapshots=10", "--keep-audit-days", "7"],
  });
  const { keys, projects } = server.client;
  await projects.create("owner", { limits: { machines: 1 } });
  await projects.create("stranger");
  const { url } = server;
  const clientOf = async (project: string) =>
    new Nullspace({ url, apiKey: (await keys.create("test", { project })).secret });
  owner = await clientOf("owner");
  stranger = await clientOf("stranger");
  machine = await owner.machines.create();
});

afterAll(async () => {
  // The server's own key does not see it.
  await machine.kill();
  owner.close();
  stranger.close();
  await server[Symbol.asyncDispose]();
  await removeHome(server.home);
});

test("a machine of another project cannot be reached in any way", async () => {
  await machine.files.write("secret.txt", "of the owner");
  const theirs = await stranger.machines.connect(machine.id).catch((error: unknown) => error);
  expect(theirs).toBeInstanceOf(NotFoundError);
  // A handle that was not asked for: nothing but the id is known.
  const operator = server.client;
  for (const client of [stranger, operator]) {
    const missing = { reason: "MACHINE_NOT_FOUND" };
    await expect(client.machines.getInfo(machine.id)).rejects.toMatchObject(missing);
    await expect(client.machines.kill(machine.id)).rejects.toMatchObject(missing);
    expect((await client.machines.list()).items).toEqual([]);
    expect((await client.events.list({ machineId: machine.id })).items).toEqual([]);
  }
  const copy = await fetch(`${server.url}/nullspace.agent.v1.FileService/Stat`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      authorization: `Bearer ${(await server.client.keys.create("x", { project: "stranger" })).secret}`,
      "nullspace-machine-id": machine.id,
    },
    body: JSON.stringify({ path: "secret.txt" }),
  });
  expect(copy.status).toBe(404);
  expect(await machine.files.read("secret.txt")).toBe("of the owner");
});

test("a key does what its scopes say", async () => {
  const { secret } = await owner.keys.create("reader", { scopes: ["machines:read"] });
  await using reader = new Nullspace({ url: server.url, apiKey: secret });
  expect((await reader.machines.getInfo(machine.id)).state).toBe("running");
  await expect(reader.machines.kill(machine.id)).rejects.toThrow(PermissionError);
  await expect(reader.keys.create("more")).rejects.toMatchObject({ reason: "SCOPE_MISSING" });
});

test("a URL that was made before the keys were renewed still works", async () => {
  await machine.files.write("out.txt", "signed");
  const url = await machine.downloadUrl("out.txt");
  await server.client.keys.rotateSigning();
  expect(await (await fetch(url)).text()).toBe("signed");
  await server.client.keys.rotateSigning({ immediately: true });
  expect((await fetch(url)).status).toBe(403);
  expect(await (await fetch(await machine.downloadUrl("out.txt"))).text()).toBe("signed");
});

test("a project holds no more than it may", async () => {
  await expect(owner.machines.create()).rejects.toMatchObject({
    reason: "QUOTA_EXCEEDED",
    retryAfterMs: 30_000,
  });
  const { usage, effectiveLimits } = await owner.projects.get();
  expect(usage).toMatchObject({ machines: 1 });
  expect(effectiveLimits).toMatchObject({ machines: 1, snapshots: 10 });
});

test("a credential that comes in where none belongs does not come into the log", async () => {
  const { apiKey, url } = server;
  const secret = apiKey.split("_").at(-1) ?? "";
  const response = await fetch(`${url}/nullspace.v1.MachineService/${apiKey}`, {
    method: "POST",
    headers: { "x-request-id": apiKey, "nullspace-machine-id": apiKey },
  });
  expect(response.status).toBe(404);
  await expect(server.client.machines.kill(apiKey)).rejects.toThrow("[redacted]");
  await expect.poll(() => server.log.split("[redacted]").length).toBeGreaterThan(3);
  expect(server.log).not.toContain(secret);
});

test("what was done is in the trail, also when the server is killed right after", async () => {
  await machine.commands.run("true");
  await machine.setTimeout({ seconds: 600 });
  await server.crash();
  const { home } = server;
  server = await startServer({ home });
  const entries = [];
  // The port is another one, the project and its trail are the same.
  for await (const entry of server.client.audit.list({ project: "owner" })) {
    if (entry.objectId === machine.id) entries.push(entry);
  }
  const calls = entries.map(({ rpc, outcome }) => `${rpc.split(".").at(-1)} ${outcome}`);
  expect(calls.slice(0, 2)).toEqual([
    "MachineService/SetTimeout ok",
    "ProcessService/Start forwarded",
  ]);
  expect(calls).toContain("FileService/Write forwarded");
  expect(calls.at(-1)).toBe("MachineService/Create ok");
  const { secret } = await server.client.keys.create("again", { project: "owner" });
  owner.close();
  owner = new Nullspace({ url: server.url, apiKey: secret });
  machine = await owner.machines.connect(machine.id);
});
