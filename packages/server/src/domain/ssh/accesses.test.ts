import { ErrorReason, Scope } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { SqlSshAccessStore } from "../../store/ssh-accesses.js";
import { never, TestWorld } from "../../testing/world.js";
import type { Machine } from "../machine.js";
import { DEFAULT_PROJECT } from "../project.js";
import { SshAccesses } from "./accesses.js";
import type { CertificateRequest } from "./authority.js";
import type { SshConnection } from "./connections.js";

const KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIVnJdXs2vNVvIUvK6C7K2NAXCl9AbUIgPAXxY2DlHhu";
const HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKNDFv20gjDT5UPaIBjNN17UuSwLmZH5jvLxbhPHX6IP";
const MINUTE_MS = 60_000;

let world: TestWorld;
let accesses: SshAccesses;
let machine: Machine;
let hostKey: string;
let signed: CertificateRequest[];
let prepared: string[];

beforeEach(async () => {
  world = await TestWorld.open();
  machine = await world.addRunning();
  hostKey = `${HOST_KEY} root@m`;
  signed = [];
  prepared = [];
  accesses = new SshAccesses({
    machines: world.plane.machines,
    machinesOf: (projectId) => world.plane.machinesOf({ projectId }),
    store: new SqlSshAccessStore(world.database),
    authority: {
      publicKey: async () => "ssh-ed25519 CA",
      async sign(request) {
        signed.push(request);
        return "certificate";
      },
    },
    sshds: {
      async prepare(machineId, admission) {
        prepared.push(`${machineId} ${admission.principal} ${admission.authority}`);
        return hostKey;
      },
    },
    connections: world.plane.sshConnections,
    onEvent: () => world.plane.events.notify(),
  });
});
afterEach(async () => {
  vi.useRealTimers();
  await world[Symbol.asyncDispose]();
});

const grant = (fields: Partial<Parameters<SshAccesses["create"]>[0]> = {}) =>
  accesses.create(
    {
      projectId: DEFAULT_PROJECT,
      machineId: machine.id,
      publicKey: KEY,
      expiresInMinutes: 5,
      ...fields,
    },
    never,
  );

const admit = (token: string | undefined, machineId = machine.id) =>
  accesses.admit(token, machineId, never);

async function reasonOf(call: Promise<unknown>): Promise<string | undefined> {
  try {
    await call;
    return "ok";
  } catch (error) {
    return error instanceof Fault ? ErrorReason[error.reason] : String(error);
  }
}

const sshEvents = async () =>
  (await world.events(machine.id))
    .filter(({ sshAccessId }) => sshAccessId !== "")
    .map(({ type, cause }) => `${type}: ${cause}`);

const ends = async () =>
  (await world.events(machine.id))
    .filter(({ type }) => type === "ssh disconnected")
    .map(({ cause, timings }) => `${cause} ${Object.keys(timings).join()}`);

describe("an access", () => {
  test("signs the key for this machine alone, as long as was asked for", async () => {
    const before = Date.now();
    const { access, knownHosts, certificate } = await grant({ publicKey: `${KEY} a comment` });
    expect(signed).toMatchObject([
      {
        publicKey: KEY,
        principal: machine.id,
        keyId: `${machine.id}/${access.id}`,
        validUntil: access.expiresAt,
      },
    ]);
    expect(certificate).toBe("certificate");
    expect(knownHosts).toBe(`${machine.id} ${HOST_KEY}`);
    expect(prepared).toEqual([`${machine.id} ${machine.id} ssh-ed25519 CA`]);
    expect(access.expiresAt.getTime() - before).toBeGreaterThan(5 * MINUTE_MS - 1001);
    expect(access.expiresAt.getTime() % 1000).toBe(0);
    const { access: hour } = await grant({ expiresInMinutes: 0 });
    expect(hour.expiresAt.getTime() - before).toBeGreaterThan(60 * MINUTE_MS - 1001);
  });

  test("keeps no token", async () => {
    const { access, relayToken } = await grant();
    const rows = await world.database.selectFrom("ssh_accesses").selectAll().execute();
    expect(JSON.stringify(rows)).toContain(access.id);
    expect(JSON.stringify(rows)).not.toContain(relayToken.slice(-44));
  });

  test.each([
    [{ publicKey: "no key" }, "INVALID_ARGUMENT"],
    [{ expiresInMinutes: 1441 }, "INVALID_ARGUMENT"],
    [{ machineId: "m0" }, "MACHINE_NOT_FOUND"],
    [{ projectId: "another" }, "MACHINE_NOT_FOUND"],
  ])("is not granted for %j", async (fields, reason) => {
    expect(await reasonOf(grant(fields))).toBe(reason);
    expect(signed).toEqual([]);
  });

  test("is not granted for a machine that does not run", async () => {
    await world.plane.machines.pause(machine.id, never);
    expect(await reasonOf(grant())).toBe("MACHINE_NOT_RUNNING");
  });

  test.each([
    "",
    `${HOST_KEY}\n@cert-authority * ${HOST_KEY}`,
    `* ${HOST_KEY}`,
    "x".repeat(100_000),
  ])("is not granted where a hostile machine calls %j its host key", async (told) => {
    hostKey = told;
    expect(await reasonOf(grant())).toBe("SSH_UNAVAILABLE");
  });

  test("is listed with its uses, newest first", async () => {
    const first = await grant();
    await (await admit(first.relayToken))[Symbol.asyncDispose]();
    const { access: second } = await grant();
    const { items } = await accesses.list(DEFAULT_PROJECT, {
      machineId: machine.id,
      limit: 0,
      cursor: "",
    });
    const uses = Object.fromEntries(items.map(({ id, useCount }) => [id, useCount]));
    expect(uses).toEqual({ [first.access.id]: 1, [second.id]: 0 });
    expect(await reasonOf(accesses.revoke(DEFAULT_PROJECT, "a0"))).toBe("SSH_ACCESS_NOT_FOUND");
  });

  test("is neither listed nor revoked from another project", async () => {
    const { access, relayToken } = await grant();
    const query = { machineId: machine.id, limit: 0, cursor: "" };
    expect(await reasonOf(accesses.list("another", query))).toBe("MACHINE_NOT_FOUND");
    expect(await reasonOf(accesses.revoke("another", access.id))).toBe("SSH_ACCESS_NOT_FOUND");
    await (await admit(relayToken))[Symbol.asyncDispose]();
  });
});

describe("a relay token", () => {
  test("opens its machine and no other, as it is and in no other form", async () => {
    const { relayToken } = await grant();
    const other = await world.addRunning();
    await using _ = await admit(relayToken);
    expect(await reasonOf(admit(relayToken, other.id))).toBe("SSH_TOKEN_INVALID");
    const wrong = fc.oneof(
      fc.string({ maxLength: 80 }),
      fc.nat(relayToken.length - 1).map((at) => {
        const changed = relayToken[at] === "x" ? "y" : "x";
        return relayToken.slice(0, at) + changed + relayToken.slice(at + 1);
      }),
      fc.constantFrom(relayToken.toUpperCase(), `${relayToken} `, relayToken.slice(1), ""),
    );
    await fc.assert(
      fc.asyncProperty(wrong, async (token) => {
        expect(await reasonOf(admit(token))).toBe("SSH_TOKEN_INVALID");
      }),
      { numRuns: 200 },
    );
    expect(await reasonOf(admit(undefined))).toBe("SSH_TOKEN_INVALID");
    const maker = { keyId: "", projectId: DEFAULT_PROJECT, scopes: [Scope.PROJECT] };
    const request = { name: "a key", projectId: "", scopes: [] };
    const { secret } = await world.plane.keys.create(maker, request);
    expect(await reasonOf(admit(secret))).toBe("SSH_TOKEN_INVALID");
    expect(await reasonOf(world.plane.keys.authenticate(`Bearer ${relayToken}`))).toBe(
      "INVALID_API_KEY",
    );
  });

  test("opens nothing once it is revoked, which cuts what it opened", async () => {
    const { access, relayToken } = await grant();
    const { relayToken: another } = await grant();
    const connection = await admit(relayToken);
    await using untouched = await admit(another);
    const revoked = await accesses.revoke(DEFAULT_PROJECT, access.id);
    expect(connection.signal.aborted).toBe(true);
    expect(untouched.signal.aborted).toBe(false);
    expect(await reasonOf(admit(relayToken))).toBe("SSH_TOKEN_INVALID");
    expect((await accesses.revoke(DEFAULT_PROJECT, access.id)).revokedAt).toEqual(
      revoked.revokedAt,
    );
    await connection[Symbol.asyncDispose]();
    const events = await sshEvents();
    expect(events.filter((event) => event.includes("revoked"))).toEqual([
      "ssh access revoked: request",
      "ssh disconnected: revoked",
    ]);
  });

  test("opens nothing once it has expired, which cuts what it opened", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date"] });
    const { relayToken } = await grant({ expiresInMinutes: 1 });
    const connection = await admit(relayToken);
    await vi.advanceTimersByTimeAsync(MINUTE_MS - 1500);
    expect(connection.signal.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1500);
    expect(connection.signal.aborted).toBe(true);
    expect(await reasonOf(admit(relayToken))).toBe("SSH_TOKEN_INVALID");
    await connection[Symbol.asyncDispose]();
    expect((await sshEvents()).at(-1)).toBe("ssh disconnected: expired");
  });

  test("is cut by its machine's end, and opens nothing then", async () => {
    const { relayToken } = await grant();
    const connection = await admit(relayToken);
    await world.plane.machines.kill(machine.id, never);
    expect(connection.signal.aborted).toBe(true);
    expect(await reasonOf(admit(relayToken))).toBe("MACHINE_NOT_RUNNING");
    await connection[Symbol.asyncDispose]();
    expect(await sshEvents()).toEqual([
      "ssh access created: request",
      "ssh connected: request",
      "ssh disconnected: machine stopped",
    ]);
  });

  test("opens no more connections at once than a machine may have", async () => {
    const { relayToken } = await grant();
    const open: SshConnection[] = [];
    for (let i = 0; i < 64; i++) open.push(await admit(relayToken));
    expect(await reasonOf(admit(relayToken))).toBe("TOO_MANY_SSH_CONNECTIONS");
    await open.pop()?.[Symbol.asyncDispose]();
    open.push(await admit(relayToken));
    for (const connection of open) await connection[Symbol.asyncDispose]();
  });

  test("opens no more connections at once than the project may have, on whichever machine", async () => {
    const other = await world.addRunning();
    const [here, there] = [await grant(), await grant({ machineId: other.id })];
    await world.plane.projects.setLimits(DEFAULT_PROJECT, { sshConnections: 2 });
    const first = await admit(here.relayToken);
    await using _ = await admit(there.relayToken, other.id);
    expect(await reasonOf(admit(here.relayToken))).toBe("QUOTA_EXCEEDED");
    expect(await reasonOf(admit(there.relayToken, other.id))).toBe("QUOTA_EXCEEDED");
    await first[Symbol.asyncDispose]();
    await using again = await admit(here.relayToken);
    expect(again.signal.aborted).toBe(false);
  });

  test("keeps a machine in use while a connection is open", async () => {
    const { relayToken } = await grant();
    const connection = await admit(relayToken);
    vi.useFakeTimers({ toFake: ["Date"] });
    vi.setSystemTime(Date.now() + MINUTE_MS);
    expect(world.plane.activity.lastUsedAt(machine.id)?.getTime()).toBe(Date.now());
    await connection[Symbol.asyncDispose]();
    const ended = Date.now();
    vi.setSystemTime(ended + MINUTE_MS);
    expect(world.plane.activity.lastUsedAt(machine.id)?.getTime()).toBe(ended);
  });
});

describe("the end of a connection", () => {
  test("is noted by the next server when one was killed, once", async () => {
    const { relayToken } = await grant();
    await admit(relayToken);
    await world.plane.sshConnections.endLost();
    expect(await ends()).toEqual([]);
    // The connection's own end never comes: that server is no more.
    await world.restart();
    expect(await ends()).toEqual(["server restart "]);
    await world.restart();
    expect(await world.plane.sshConnections.endLost()).toBe(0);
    expect(await ends()).toEqual(["server restart "]);
  });

  test("is noted later, as it was, when it could not be written", async () => {
    const { relayToken } = await grant();
    const connection = await admit(relayToken);
    using failing = vi.spyOn(SqlSshAccessStore.prototype, "end");
    failing.mockRejectedValueOnce(new Error("the disk is full"));
    await expect(connection[Symbol.asyncDispose]()).rejects.toThrow("the disk is full");
    expect(await ends()).toEqual([]);
    expect(await world.plane.sshConnections.endLost()).toBe(1);
    expect(await ends()).toEqual(["closed openMs"]);
  });
});
