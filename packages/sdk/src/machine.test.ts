import { ErrorReason, MachineState } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import {
  AuthError,
  ConflictError,
  InvalidArgumentError,
  NotFoundError,
  TimeoutError,
} from "./errors.js";
import { Machine } from "./machine.js";
import { Nullspace } from "./nullspace.js";
import { FakeServer } from "./testing/fake-server.js";

let server: FakeServer;
beforeAll(async () => {
  server = await FakeServer.start();
});
afterAll(async () => server[Symbol.asyncDispose]());
beforeEach(() => {
  vi.stubEnv("NULLSPACE_API_URL", server.url);
  vi.stubEnv("NULLSPACE_API_KEY", server.apiKey);
  server.onCall = undefined;
  server.onAnswer = undefined;
  server.calls.length = 0;
});

function findOnServer(id: string) {
  return server.machines.find(id).state;
}

describe("create and kill", () => {
  test("a machine lives as long as its scope", async () => {
    let id: string;
    {
      await using machine = await Machine.create({
        template: "base",
        metadata: { purpose: "test" },
      });
      id = machine.id;
      expect(machine.receipt).toEqual({
        kind: "pause",
        generation: 2,
        clockSkewMs: -3,
        entropyReseeded: true,
        identityRenewed: true,
      });
      const info = await machine.getInfo();
      expect(info).toMatchObject({ id, state: "running", template: "base:1", onTimeout: "kill" });
      expect(info.createdAt).toBeInstanceOf(Date);
      expect(info.endedAt).toBeUndefined();
    }
    expect(findOnServer(id)).toBe(MachineState.KILLED);
    await expect(Machine.kill(id)).resolves.toBeUndefined();
  });

  test("an unknown template names a near one and the remedy", async () => {
    const failure = await Machine.create({ template: "bass" }).catch((error: unknown) => error);
    if (!(failure instanceof NotFoundError)) throw failure;
    expect(failure.name).toBe("NotFoundError");
    expect(failure.code).toBe("not_found");
    expect(failure.reason).toBe("TEMPLATE_NOT_FOUND");
    expect(failure.details.nearest).toBe("base");
    expect(failure.message).toBe('no template is named "bass". Did you mean base?');
    expect(failure.retryable).toBe(false);
    expect(failure.requestId).toMatch(/^[0-9a-f-]{36}$/);
  });

  test("a create that is retried after an outage makes one machine", async () => {
    const before = server.machines.all.length;
    let failures = 2;
    server.onCall = () => {
      if (failures-- > 0) throw new Fault(ErrorReason.SERVER_NOT_READY, "starting");
    };
    await using machine = await Machine.create();
    expect(server.calls).toEqual(["Create", "Create", "Create"]);
    expect(server.machines.all.length).toBe(before + 1);
    expect(machine.id).not.toBe("");
  });

  test("a create whose answer is lost is asked for again with the same key", async () => {
    const before = server.machines.all.length;
    const asked = server.machines.created.length;
    let cut = true;
    server.onAnswer = () => {
      if (cut) server.dropConnections();
      cut = false;
    };
    await using machine = await Machine.create();
    expect(machine.id).not.toBe("");
    const keys = server.machines.created.slice(asked).map((request) => request.idempotencyKey);
    expect(keys).toHaveLength(2);
    expect(keys[0]).toBe(keys[1]);
    expect(server.machines.all.length).toBe(before + 1);
  });

  test("two creates have different keys", async () => {
    await using first = await Machine.create();
    await using second = await Machine.create();
    expect(first.id).not.toBe(second.id);
  });
});

describe("configuration", () => {
  test("a wrong key is an AuthError", async () => {
    await expect(Machine.list({ apiKey: "ns_wrong_key" })).rejects.toThrow(AuthError);
  });

  test("without a key nothing is sent", () => {
    vi.stubEnv("NULLSPACE_API_KEY", "");
    expect(() => Machine.list()).toThrow(AuthError);
    expect(() => new Nullspace({ url: server.url })).toThrow(/NULLSPACE_API_KEY/);
  });

  test("a URL that is none is refused", () => {
    expect(() => new Nullspace({ url: "localhost:7070", apiKey: "k" })).toThrow(
      InvalidArgumentError,
    );
    expect(() => new Nullspace({ url: "nonsense", apiKey: "k" })).toThrow(InvalidArgumentError);
  });

  test("several accounts have clients of their own", async () => {
    await using client = new Nullspace({ url: `${server.url}/`, apiKey: server.apiKey });
    const key = await client.keys.create("ci");
    expect(key.secret).toMatch(/^ns_/);
    const names = [];
    for await (const { name } of client.keys.list()) names.push(name);
    expect(names).toContain("ci");
    const revoked = await client.keys.revoke(key.id);
    expect(revoked.revokedAt).toBeInstanceOf(Date);
    await expect(client.keys.revoke("none")).rejects.toThrow(NotFoundError);
  });

  test("a closed client cancels its calls and makes no more", async () => {
    const client = new Nullspace({ url: server.url, apiKey: server.apiKey });
    const started = Promise.withResolvers<void>();
    server.onCall = (_method, { signal }) => {
      started.resolve();
      return new Promise((resolve) => signal.addEventListener("abort", resolve));
    };
    const call = client.machines.getInfo("m1").catch((error: unknown) => error);
    await started.promise;
    client.close();
    expect(await call).toMatchObject({ name: "CancelledError" });
    await expect(client.machines.list()).rejects.toMatchObject({ reason: "CANCELLED" });
  });
});

describe("list", () => {
  test("pages, and loops over all of them", async () => {
    const label = { list: "pages" };
    for (let i = 0; i < 5; i++) await Machine.create({ metadata: label });
    const page = await Machine.list({ metadata: label, limit: 2 });
    expect(page.items).toHaveLength(2);
    expect(page.nextCursor).toBeDefined();
    const next = await page.next();
    expect(next?.items).toHaveLength(2);
    const last = await next?.next();
    expect(last?.items).toHaveLength(1);
    expect(last?.nextCursor).toBeUndefined();
    expect(await last?.next()).toBeUndefined();

    const ids = new Set<string>();
    for await (const { id } of Machine.list({ metadata: label, limit: 2, fields: ["id"] })) {
      ids.add(id);
    }
    expect(ids.size).toBe(5);
    for await (const { id } of page) expect(ids.delete(id)).toBe(true);
    expect(ids.size).toBe(0);
  });

  test("fields returns only those", async () => {
    const machine = await Machine.create();
    expect(await Machine.getInfo(machine.id, { fields: ["id", "memoryMb"] })).toEqual({
      id: machine.id,
      memoryMb: 512,
    });
  });
});

describe("connect and setTimeout", () => {
  test("gives a handle of a running machine only", async () => {
    const machine = await Machine.create();
    const again = await Machine.connect(machine.id);
    expect((await again.commands.run("echo here")).stdout).toBe("here\n");
    await machine.kill();
    const failure = await Machine.connect(machine.id).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ConflictError);
    expect(failure).toMatchObject({ reason: "MACHINE_NOT_RUNNING", details: { state: "killed" } });
    await expect(Machine.connect("m-none")).rejects.toMatchObject({ reason: "MACHINE_NOT_FOUND" });
  });

  test("sets a deadline and takes it away", async () => {
    await using machine = await Machine.create({ timeoutSeconds: 10 });
    const later = await machine.setTimeout({ seconds: 3600 });
    expect(later.timeoutAt?.getTime()).toBeGreaterThan(Date.now() + 3_500_000);
    const never = await Machine.setTimeout(machine.id, { seconds: 0, onTimeout: "pause" });
    expect(never.timeoutAt).toBeUndefined();
    expect(never.onTimeout).toBe("pause");
  });
});

describe("runOnce", () => {
  test("runs one command and leaves nothing behind", async () => {
    const { stdout } = await Machine.runOnce("printf", ["%s", "a b"], { metadata: { once: "1" } });
    expect(stdout).toBe("a b");
    expect((await Machine.list({ metadata: { once: "1" } })).items).toEqual([]);
  });

  test("cleans up after a command that cannot start", async () => {
    const options = { metadata: { once: "2" } };
    await expect(Machine.runOnce("no-such-program", [], options)).rejects.toMatchObject({
      reason: "PROCESS_START_FAILED",
    });
    expect((await Machine.list(options)).items).toEqual([]);
  });
});

describe("deadlines and cancellation", () => {
  test("requestTimeoutMs ends a call that hangs, here and on the server", async () => {
    const aborted = Promise.withResolvers<void>();
    server.onCall = (_method, { signal }) =>
      new Promise((resolve) => {
        signal.addEventListener("abort", () => {
          aborted.resolve();
          resolve(undefined);
        });
      });
    await expect(Machine.getInfo("m1", { requestTimeoutMs: 50 })).rejects.toThrow(TimeoutError);
    await aborted.promise;
  });

  test("a signal cancels the call on the server and is the error's cause", async () => {
    const started = Promise.withResolvers<void>();
    const aborted = Promise.withResolvers<void>();
    server.onCall = (_method, { signal }) => {
      started.resolve();
      return new Promise((resolve) => {
        signal.addEventListener("abort", () => {
          aborted.resolve();
          resolve(undefined);
        });
      });
    };
    const controller = new AbortController();
    const call = Machine.create({ signal: controller.signal }).catch((error: unknown) => error);
    await started.promise;
    const reason = new Error("changed my mind");
    controller.abort(reason);
    expect(await call).toMatchObject({
      name: "CancelledError",
      reason: "CANCELLED",
      cause: reason,
    });
    await aborted.promise;
  });

  test("a signal that was aborted before sends nothing", async () => {
    const signal = AbortSignal.abort();
    await expect(Machine.getInfo("m1", { signal })).rejects.toMatchObject({ reason: "CANCELLED" });
    expect(server.calls).toEqual([]);
  });

  test("a deadline that makes no sense is refused", async () => {
    await expect(Machine.getInfo("m1", { requestTimeoutMs: -1 })).rejects.toThrow(
      InvalidArgumentError,
    );
    await expect(Machine.getInfo("m1", { requestTimeoutMs: Number.NaN })).rejects.toThrow(
      InvalidArgumentError,
    );
  });

  test("no server is an error that says so, after the retries", async () => {
    const url = "http://127.0.0.1:9";
    const failure = await Machine.list({ url, requestTimeoutMs: 300 }).catch((e: unknown) => e);
    expect(failure).toMatchObject({
      name: "UnavailableError",
      reason: "CONNECTION_FAILED",
      retryable: true,
    });
    expect(String(failure)).toContain("Is the server running");
  });
});
