import type { DescMethod } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import {
  EventService,
  KeyService,
  MachineService,
  PreviewKind,
  PreviewService,
  ProjectService,
  SnapshotService,
  SshService,
  TransferDirection,
} from "@nullspace/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Account, addProject } from "../testing/accounts.js";
import { AGENT_SERVICES, API_SERVICES, callAny } from "../testing/any-call.js";
import { startTestServer, type TestServer, transportTo } from "../testing/server.js";
import { SSH_PUBLIC_KEY } from "../testing/stub-agent.js";

let server: TestServer;
let owner: Account;
let stranger: Account;
/** What the owner has, and things of the same form that nobody ever had. */
let owned: Ids;
const never: Ids = {
  machine: "mzzzzzzzzzzzzzzzzzzz",
  snapshot: "szzzzzzzzzzzzzzzzzzz",
  key: "yyyyyyyyyyyy",
  project: "nobody",
  grant: "pzzzzzzzzzzzzzzzzzzz",
  access: "zzzzzzzzzzzz",
};

type Ids = Readonly<
  Record<"machine" | "snapshot" | "key" | "project" | "grant" | "access", string>
>;

beforeAll(async () => {
  server = await startTestServer();
  owner = await addProject(server, "owner");
  stranger = await addProject(server, "stranger");
  const { machine } = await createClient(MachineService, owner.transport).create({
    metadata: { team: "a" },
  });
  const machineId = machine?.id ?? "";
  const snapshots = createClient(SnapshotService, owner.transport);
  const { snapshot } = await snapshots.create({ machineId, name: "kept" });
  const { grant } = await createClient(PreviewService, owner.transport).create({
    machineId,
    port: 8080,
    kind: PreviewKind.URL,
  });
  const { access } = await createClient(SshService, owner.transport).createAccess({
    machineId,
    publicKey: SSH_PUBLIC_KEY,
  });
  owned = {
    machine: machineId,
    snapshot: snapshot?.id ?? "",
    key: owner.keyId,
    project: "owner",
    grant: grant?.id ?? "",
    access: access?.id ?? "",
  };
});
afterAll(async () => server[Symbol.asyncDispose]());

/** What the field `id` of a service's requests names. */
const ID_OF: Readonly<Record<string, keyof Ids>> = {
  MachineService: "machine",
  SnapshotService: "snapshot",
  KeyService: "key",
  ProjectService: "project",
  PreviewService: "grant",
  SshService: "access",
};

const FIELDS: Readonly<Record<string, keyof Ids>> = {
  machineId: "machine",
  snapshotId: "snapshot",
  keyId: "key",
  objectId: "machine",
  project: "project",
};

/** What a call needs besides ids, to come as far as looking for them. */
const BESIDES: Readonly<Record<string, Record<string, unknown>>> = {
  "TransferService/CreateUrl": { path: "/etc/passwd", direction: TransferDirection.DOWNLOAD },
  "KeyService/Create": { name: "mine" },
  "PreviewService/Create": { port: 8080, kind: PreviewKind.URL },
  "PreviewService/GetAddress": { port: 8080 },
  "PreviewService/Wait": { port: 8080 },
  "SshService/CreateAccess": { publicKey: SSH_PUBLIC_KEY },
};

/** A request that names things of the owner, or things that never were. */
function requestFor(method: DescMethod, ids: Ids): Record<string, unknown> {
  const service = method.parent.name;
  const fields: Record<string, unknown> = { ...BESIDES[`${service}/${method.name}`] };
  for (const { localName } of method.input.fields) {
    const kind = localName === "id" ? ID_OF[service] : FIELDS[localName];
    if (localName === "id" && kind === undefined) throw new Error(`what are ids of ${service}?`);
    if (kind !== undefined) fields[localName] = ids[kind];
  }
  return fields;
}

function anonymous(value: unknown, ids: Ids): string {
  let text = JSON.stringify(value);
  for (const id of Object.values(ids)) text = text.replaceAll(id, "<id>");
  return text;
}

describe("what belongs to another project is like what never was", () => {
  const methods = API_SERVICES.flatMap((service) => service.methods).filter(
    ({ methodKind }) => methodKind === "unary",
  );

  test.each(methods.map((method) => [`${method.parent.name}/${method.name}`, method] as const))(
    "%s",
    async (_name, method) => {
      const seen = await callAny(stranger.transport, method, requestFor(method, owned));
      const missing = await callAny(stranger.transport, method, requestFor(method, never));
      expect(anonymous(seen, owned)).toBe(anonymous(missing, never));
      const told = "message" in seen ? seen.message : "";
      expect(Object.values(owned).filter((id) => told.includes(id))).toEqual([]);
    },
  );

  test.each(
    AGENT_SERVICES.flatMap(({ methods: all }) => all).map((m) => [m.toString(), m] as const),
  )("%s", async (_name, method) => {
    const call = async (machineId: string) =>
      callAny(
        transportTo(server.url, "Connect over HTTP/2", stranger.secret, machineId),
        method,
        {},
      );
    const seen = await call(owned.machine);
    expect(seen).toMatchObject({ reason: "MACHINE_NOT_FOUND" });
    expect(anonymous(seen, owned)).toBe(anonymous(await call(never.machine), never));
  });

  test("its owner has all of it as before", async () => {
    const machines = createClient(MachineService, owner.transport);
    expect((await machines.get({ id: owned.machine })).machine?.metadata).toEqual({ team: "a" });
    expect((await machines.list({})).machines.map(({ id }) => id)).toEqual([owned.machine]);
    const snapshots = createClient(SnapshotService, owner.transport);
    expect((await snapshots.list({})).snapshots.map(({ id }) => id)).toEqual([owned.snapshot]);
    const { keys } = await createClient(KeyService, owner.transport).list({});
    expect(keys.map(({ id, revokedAt }) => [id, revokedAt])).toEqual([[owned.key, undefined]]);
    const previews = createClient(PreviewService, owner.transport);
    const { grants } = await previews.list({ machineId: owned.machine });
    expect(grants.map(({ id, revokedAt }) => [id, revokedAt])).toEqual([[owned.grant, undefined]]);
    const ssh = createClient(SshService, owner.transport);
    const { access } = await ssh.listAccess({ machineId: owned.machine });
    expect(access.map(({ id, revokedAt }) => [id, revokedAt])).toEqual([[owned.access, undefined]]);
  });

  test("neither a watch of machines nor one of events tells of it", async () => {
    const stop = new AbortController();
    const options = { signal: stop.signal };
    const machines = createClient(MachineService, stranger.transport);
    const machineSteps = machines.watch({}, options)[Symbol.asyncIterator]();
    expect((await machineSteps.next()).value).toMatchObject({ synced: true });
    const events = createClient(EventService, stranger.transport);
    const eventSteps = events.watch({ afterId: 1n }, options)[Symbol.asyncIterator]();
    // Of the owner first: whatever is told to the stranger, it is not this.
    await createClient(MachineService, owner.transport).setTimeout({ id: owned.machine });
    const { machine } = await machines.create({});
    expect((await machineSteps.next()).value).toMatchObject({ machine: { id: machine?.id } });
    expect((await eventSteps.next()).value).toMatchObject({ event: { machineId: machine?.id } });
    stop.abort();
    await machines.kill({ id: machine?.id ?? "" });
  });

  test("the same idempotency key makes a machine in each project", async () => {
    const made = [owner, stranger, owner].map(async ({ transport }) => {
      const machines = createClient(MachineService, transport);
      return (await machines.create({ idempotencyKey: "same" })).machine?.id;
    });
    const [first, second, third] = await Promise.all(made);
    expect(first).toBe(third);
    expect(first).not.toBe(second);
    const snapshots = await Promise.all(
      [
        [owner, first],
        [stranger, second],
      ].map(async ([account, machineId]) => {
        if (typeof account !== "object" || typeof machineId !== "string") throw new Error("none");
        const { transport } = account;
        const client = createClient(SnapshotService, transport);
        return (await client.create({ machineId, idempotencyKey: "same" })).snapshot?.id;
      }),
    );
    expect(new Set(snapshots).size).toBe(2);
  });

  test("an operator sees every project's limits and keys, but none of its machines", async () => {
    const operator = transportTo(server.url, "Connect over HTTP/2", server.apiKey);
    const projects = createClient(ProjectService, operator);
    const { projects: all } = await projects.list({});
    expect(all.map(({ id }) => id).toSorted()).toEqual(["default", "owner", "stranger"]);
    const { keys } = await createClient(KeyService, operator).list({ project: "owner" });
    expect(keys.map(({ id }) => id)).toEqual([owned.key]);
    await expect(createClient(MachineService, operator).get({ id: owned.machine })).rejects.toThrow(
      "no machine",
    );
  });
});
