import { Code, createClient } from "@connectrpc/connect";
import {
  AuditService,
  ErrorInfoSchema,
  ErrorReason,
  KeyService,
  MACHINE_ID_HEADER,
  MachineService,
  ProjectService,
  REQUEST_ID_HEADER,
  Scope,
  TransferDirection,
  TransferService,
} from "@nullspace/proto";
import { ProcessService } from "@nullspace/proto/agent";
import { ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Account, addKey, addProject } from "../testing/accounts.js";
import { PROTOCOLS, startTestServer, type TestServer, transportTo } from "../testing/server.js";

let server: TestServer;

beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => server[Symbol.asyncDispose]());

/** What the trail says, oldest first. */
async function trailOf({ transport }: Account): Promise<string[]> {
  const { entries } = await createClient(AuditService, transport).list({});
  return entries
    .toReversed()
    .map(({ rpc, objectId, outcome }) => [rpc.split(".").at(-1), objectId, outcome].join(" "));
}

describe("the audit trail", () => {
  test("tells who changed what, how it ended, and under which request id", async () => {
    const account = await addProject(server, "audited");
    const { transport, secret, keyId } = account;
    const machines = createClient(MachineService, transport);
    const headers = { [REQUEST_ID_HEADER]: "mine-1" };
    const { machine } = await machines.create({}, { headers });
    const id = machine?.id ?? "";
    const agent = transportTo(server.url, "gRPC over HTTP/2", secret, id);
    const processes = createClient(ProcessService, agent);
    for await (const _ of processes.start({ command: "true" })) continue;
    await processes.list({});
    await machines.get({ id });
    await machines.list({});
    await machines.kill({ id });
    await expect(machines.pause({ id })).rejects.toThrow("killed");
    const transfers = createClient(TransferService, transport);
    await expect(
      transfers.createUrl({ machineId: id, path: "/a", direction: TransferDirection.UPLOAD }),
    ).rejects.toThrow("killed");
    expect(await trailOf(account)).toEqual([
      `MachineService/Create ${id} ok`,
      `ProcessService/Start ${id} forwarded`,
      `MachineService/Kill ${id} ok`,
      `MachineService/Pause ${id} MACHINE_NOT_RUNNING`,
      `TransferService/CreateUrl ${id} MACHINE_NOT_RUNNING`,
    ]);
    const { entries } = await createClient(AuditService, transport).list({ limit: 100 });
    expect(entries.at(-1)).toMatchObject({ keyId, project: "audited", requestId: "mine-1" });
    expect(entries.at(-2)?.requestId).toMatch(/^[a-z0-9]{20}$/);
  });

  test("tells of calls that a key was not for, and of keys but not their secrets", async () => {
    const account = await addProject(server, "guarded");
    const reader = await addKey(server, "", [Scope.MACHINES_READ], account.secret);
    const machines = createClient(MachineService, reader.transport);
    await expect(machines.create({})).rejects.toMatchObject({ code: Code.PermissionDenied });
    const { keys } = await createClient(KeyService, account.transport).list({});
    expect(await trailOf(account)).toEqual([
      `KeyService/Create ${reader.keyId} ok`,
      "MachineService/Create  SCOPE_MISSING",
    ]);
    expect(keys.map(({ id, scopes }) => [id, scopes])).toEqual([
      [reader.keyId, [Scope.MACHINES_READ]],
      [account.keyId, [Scope.PROJECT]],
    ]);
  });

  test("holds no key that was taken for an id", async () => {
    const account = await addProject(server, "careless");
    const machines = createClient(MachineService, account.transport);
    const error = ConnectError.from(
      await machines.kill({ id: account.secret }).catch((failure: unknown) => failure),
    );
    const secret = account.secret.split("_").at(-1) ?? "";
    expect(error.rawMessage).toContain("[redacted]");
    const [info] = error.findDetails(ErrorInfoSchema);
    expect(JSON.stringify([error.rawMessage, info?.details])).not.toContain(secret);
    const trail = await trailOf(account);
    expect(trail.join()).toContain("[redacted]");
    expect(trail.join()).not.toContain(secret);
  });

  test("of another project is for operators", async () => {
    const account = await addProject(server, "seen");
    await createClient(MachineService, account.transport).create({});
    const operator = transportTo(server.url, "Connect over HTTP/2", server.apiKey);
    const { entries } = await createClient(AuditService, operator).list({ project: "seen" });
    expect(entries.map(({ rpc }) => rpc)).toEqual(["nullspace.v1.MachineService/Create"]);
    await expect(
      createClient(AuditService, account.transport).list({ project: "default" }),
    ).rejects.toMatchObject({ code: Code.PermissionDenied });
  });
});

describe("a project that makes too many calls", () => {
  test.each(PROTOCOLS)("is told when to go on: %s", async (protocol) => {
    const name = `busy-${PROTOCOLS.indexOf(protocol)}`;
    const { secret } = await addProject(server, name, { requestsPerSecond: 1, requestBurst: 1 });
    const makers: readonly (() => Promise<unknown>)[] = [
      async () => createClient(MachineService, transportTo(server.url, protocol, secret)).list({}),
      async () =>
        createClient(ProcessService, transportTo(server.url, protocol, secret, "m1")).list({}),
    ];
    for (const make of makers) {
      const calls = await Promise.allSettled(Array.from({ length: 10 }, make));
      const [refused] = calls
        .flatMap((call) => (call.status === "rejected" ? [ConnectError.from(call.reason)] : []))
        .filter(({ code }) => code === Code.ResourceExhausted);
      const [info] = refused?.findDetails(ErrorInfoSchema) ?? [];
      expect(info).toMatchObject({ reason: ErrorReason.RATE_LIMITED, retryable: true });
      expect(info?.retryAfterMs).toBeGreaterThan(0);
      expect(refused?.metadata.get("retry-after")).toBe("1");
    }
    // Others are as free as before.
    await createClient(MachineService, transportTo(server.url, protocol, server.apiKey)).list({});
  });

  test.each(["nullspace.v1.MachineService/Watch", "nullspace.agent.v1.ProcessService/Start"])(
    "finds the time in a header of HTTP, also of a stream: %s",
    async (rpc) => {
      const name = `busy-${rpc.length}`;
      const { secret } = await addProject(server, name, { requestsPerSecond: 1, requestBurst: 1 });
      const call = async () => {
        const response = await fetch(`${server.url}/${rpc}`, {
          method: "POST",
          headers: {
            authorization: `Bearer ${secret}`,
            "content-type": "application/connect+json",
            [MACHINE_ID_HEADER]: "m1",
          },
          body: new Uint8Array([0, 0, 0, 0, 2, 123, 125]),
        });
        await response.body?.cancel();
        return response.headers.get("retry-after");
      };
      const seen = await Promise.all(Array.from({ length: 10 }, call));
      expect(seen).toContain("1");
    },
  );
});

test("a quota is told with its limit and the usage that counts", async () => {
  const { transport } = await addProject(server, "small", { machines: 1, memoryMb: 4096 });
  const machines = createClient(MachineService, transport);
  const { machine } = await machines.create({});
  const error = ConnectError.from(await machines.create({}).catch((failure: unknown) => failure));
  expect(error.code).toBe(Code.ResourceExhausted);
  expect(error.findDetails(ErrorInfoSchema)).toMatchObject([
    { reason: ErrorReason.QUOTA_EXCEEDED, details: { limit: "machines", most: "1" } },
  ]);
  expect(error.metadata.get("retry-after")).toBe("30");
  const projects = createClient(ProjectService, transport);
  expect(await projects.get({})).toMatchObject({
    project: { id: "small", limits: { machines: 1 }, effectiveLimits: { memoryMb: 4096 } },
    usage: { machines: 1 },
  });
  const id = machine?.id ?? "";
  // A paused machine takes no place, and takes one again when it goes on.
  await machines.pause({ id });
  const { machine: second } = await machines.create({});
  await expect(machines.connect({ id })).rejects.toMatchObject({ code: Code.ResourceExhausted });
  await machines.kill({ id: second?.id ?? "" });
  expect((await machines.connect({ id })).machine?.parentId).toBe(id);
});

test("a fork is refused child by child", async () => {
  const { transport } = await addProject(server, "forks", { machines: 3 });
  const machines = createClient(MachineService, transport);
  const { machine } = await machines.create({});
  const { results } = await machines.fork({ id: machine?.id ?? "", count: 4 });
  const made = results.filter(({ result }) => result.case === "child");
  expect([made.length, results.length]).toEqual([2, 4]);
});

test("signing keys are renewed: URLs that were made before are good, until they are ended", async () => {
  const operator = transportTo(server.url, "Connect over HTTP/2", server.apiKey);
  const { machine } = await createClient(MachineService, operator).create({});
  const { url } = await createClient(TransferService, operator).createUrl({
    machineId: machine?.id ?? "",
    path: "/a",
    direction: TransferDirection.UPLOAD,
  });
  // A method that is not for uploads: told only to who comes with a good signature.
  const statusOf = async () => (await fetch(server.url + url, { method: "GET" })).text();
  const keys = createClient(KeyService, operator);
  expect(await statusOf()).toContain("this URL is for uploads");
  const { keys: rotated } = await keys.rotateSigning({});
  expect(rotated.map(({ retiredAt }) => retiredAt === undefined)).toEqual([true, false]);
  expect(rotated[1]?.verifiesUntil).toBeDefined();
  expect(await statusOf()).toContain("this URL is for uploads");
  expect((await keys.rotateSigning({ immediately: true })).keys).toHaveLength(1);
  expect(await statusOf()).toContain("TRANSFER_URL_INVALID");
});
