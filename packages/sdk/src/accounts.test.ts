import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { InvalidArgumentError, NotFoundError, ResourceExhaustedError } from "./errors.js";
import { Nullspace } from "./nullspace.js";
import { redactPreviewToken, redactPreviewUrl } from "@nullspace/proto";
import { delayMs } from "./retry.js";
import { toScopeMessage } from "./scopes.js";
import { FakeServer } from "./testing/fake-server.js";

let server: FakeServer;
let client: Nullspace;

beforeAll(async () => {
  server = await FakeServer.start();
  client = new Nullspace({ url: server.url, apiKey: server.apiKey });
});
afterAll(async () => {
  client.close();
  await server[Symbol.asyncDispose]();
});
beforeEach(() => {
  server.calls.length = 0;
  server.onCall = undefined;
});

describe("keys", () => {
  test("belong to a project and have scopes", async () => {
    const own = await client.keys.create("ci");
    expect([own.project, own.scopes]).toEqual(["default", ["project"]]);
    const narrow = await client.keys.create("reader", {
      project: "team-a",
      scopes: ["machines:read", "audit:read"],
    });
    expect(narrow).toMatchObject({ project: "team-a", scopes: ["machines:read", "audit:read"] });
  });

  test("a scope that there is not is refused with those there are", () => {
    expect(() => toScopeMessage("machines:fly")).toThrow(InvalidArgumentError);
    expect(() => toScopeMessage("machines:fly")).toThrow("machines:read, machines:write");
    expect(() => toScopeMessage("unspecified")).toThrow(InvalidArgumentError);
  });

  test("signing keys are renewed", async () => {
    const keys = await client.keys.rotateSigning();
    expect(keys.map(({ id, retiredAt }) => [id, retiredAt instanceof Date])).toEqual([
      ["new", false],
      ["old", true],
    ]);
  });
});

test("projects have limits and tell what they hold", async () => {
  const limits = { machines: 5, requestsPerSecond: 0 };
  expect((await client.projects.create("team-a", { limits })).limits).toEqual(limits);
  expect(await client.projects.setLimits("team-a", { vcpus: 8 })).toMatchObject({
    limits: { vcpus: 8 },
    effectiveLimits: { vcpus: 8 },
  });
  const ids = [];
  for await (const { id } of client.projects.list()) ids.push(id);
  expect(ids).toEqual(["default", "team-a"]);
  expect((await client.projects.get()).usage).toEqual({
    machines: 2,
    vcpus: 4,
    memoryMb: 1024,
    snapshots: 1,
    snapshotBytes: 4096,
    sshConnections: 3,
  });
  await expect(client.projects.get("nobody")).rejects.toThrow(NotFoundError);
});

test("the audit trail is read page after page", async () => {
  const entries = [];
  for await (const entry of client.audit.list({ keyId: "k7" })) entries.push(entry);
  expect(entries).toMatchObject([
    { id: "1", keyId: "k7", objectId: "m1", outcome: "ok" },
    { id: "2", objectId: undefined, outcome: "QUOTA_EXCEEDED" },
  ]);
});

describe("a server that asks for patience", () => {
  const limited = (retryAfterMs: number) =>
    new Fault(ErrorReason.RATE_LIMITED, "too many calls", { retryAfterMs });

  test("is asked again, after the time that it says", async () => {
    let refusals = 1;
    server.onCall = () => {
      if (refusals-- > 0) throw limited(200);
    };
    expect((await client.keys.list()).items.length).toBeGreaterThan(0);
    expect(server.calls).toEqual(["List", "List"]);
    const error = new ResourceExhaustedError("too many", {
      reason: "RATE_LIMITED",
      retryAfterMs: 7000,
    });
    const policy = { retries: 1, firstDelayMs: 10, longestDelayMs: 10 };
    expect(delayMs(policy, 0, error)).toBe(7000);
    expect(delayMs(policy, 0, new ResourceExhaustedError("full"))).toBeLessThanOrEqual(10);
  });

  test("is not waited for beyond the deadline", async () => {
    server.onCall = () => {
      throw limited(60_000);
    };
    const failure = await client.keys
      .list({ requestTimeoutMs: 5000 })
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ResourceExhaustedError);
    expect(failure).toMatchObject({
      reason: "RATE_LIMITED",
      retryable: true,
      retryAfterMs: 60_000,
    });
    expect(server.calls).toEqual(["List"]);
  });

  test("a quota is told and not waited for", async () => {
    server.onCall = () => {
      throw new Fault(ErrorReason.QUOTA_EXCEEDED, "full", { retryAfterMs: 30_000 });
    };
    await expect(client.machines.create()).rejects.toMatchObject({
      reason: "QUOTA_EXCEEDED",
      retryAfterMs: 30_000,
    });
    expect(server.calls).toEqual(["Create"]);
  });
});

test("redaction hides credentials of previews and transfers", () => {
  const token = `nspv_abcdefgh.${"s".repeat(43)}.${"p".repeat(20)}`;
  const url = `https://8080-m1.localhost/?edge_token=${token}&a=b`;
  expect(redactPreviewUrl(url)).toBe("https://8080-m1.localhost/?edge_token=[redacted]&a=b");
  expect(redactPreviewToken(token)).toBe("nspv_[redacted]");
});
