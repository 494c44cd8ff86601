import { Code, createClient } from "@connectrpc/connect";
import { KeyService, MachineService, Scope, scopeName, scopeOf } from "@nullspace/proto";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Account, addKey, addProject } from "../testing/accounts.js";
import { AGENT_SERVICES, API_SERVICES, callAny } from "../testing/any-call.js";
import { startTestServer, type TestServer, transportTo } from "../testing/server.js";

let server: TestServer;
const SCOPES = Object.values(Scope).filter(
  (scope): scope is Scope => typeof scope === "number" && scope !== Scope.UNSPECIFIED,
);
/** Those that are for some calls only. */
const NARROW = SCOPES.filter((scope) => scope !== Scope.ADMIN && scope !== Scope.PROJECT);
/** A key with one scope, and one with all but that one. */
const holders = new Map<Scope, { readonly only: Account; readonly allBut: Account }>();

beforeAll(async () => {
  server = await startTestServer();
  const { transport } = await addProject(server, "team");
  // For a watch to have something to tell: an event that is not the first one.
  await createClient(MachineService, transport).create({});
  for (const scope of NARROW) {
    const others = NARROW.filter((other) => other !== scope);
    holders.set(scope, {
      only: await addKey(server, "team", [scope]),
      allBut: await addKey(server, "team", others),
    });
  }
  holders.set(Scope.ADMIN, {
    only: await addKey(server, "team", [Scope.ADMIN]),
    allBut: await addKey(server, "team", [Scope.PROJECT]),
  });
});
afterAll(async () => server[Symbol.asyncDispose]());

const SERVICES = [...API_SERVICES, ...AGENT_SERVICES];
const METHODS = SERVICES.flatMap(({ methods }) => methods);

describe("scopes", () => {
  test("every call names one", () => {
    expect(METHODS.length).toBeGreaterThan(70);
    const without = METHODS.filter((method) => scopeOf(method) === Scope.UNSPECIFIED);
    expect(without.map(String)).toEqual([]);
  });

  test("every scope is good for something", () => {
    const used = new Set(METHODS.map(scopeOf));
    expect(NARROW.filter((scope) => !used.has(scope)).map(scopeName)).toEqual([]);
  });

  test.each(METHODS.map((method) => [String(method), method] as const))(
    "%s is for those who have its scope",
    async (_name, method) => {
      const scope = scopeOf(method);
      const keys = holders.get(scope);
      if (keys === undefined) throw new Error(`no key has ${scopeName(scope)}`);
      const outcome = async ({ secret }: Account) =>
        callAny(
          transportTo(server.url, "Connect over HTTP/2", secret, "m1"),
          method,
          method.methodKind === "server_streaming" && method.name === "Watch"
            ? { afterId: 1n }
            : {},
        );
      expect(await outcome(keys.allBut)).toMatchObject({
        reason: "SCOPE_MISSING",
        details: { scope: scopeName(scope) },
      });
      expect(await outcome(keys.only)).not.toMatchObject({ reason: "SCOPE_MISSING" });
    },
  );
});

async function create(
  { transport }: Account,
  project: string,
  scopes: Scope[],
): Promise<Scope[] | undefined> {
  const keys = createClient(KeyService, transport);
  return (await keys.create({ name: "new", project, scopes })).key?.scopes;
}

describe("a new key", () => {
  const refused: unknown = expect.objectContaining({ code: Code.PermissionDenied });

  test("has no scope that its maker has not", async () => {
    const maker = await addKey(server, "team", [Scope.KEYS_WRITE, Scope.MACHINES_READ]);
    const own = [Scope.KEYS_WRITE, Scope.MACHINES_READ];
    for (const scope of own) expect(await create(maker, "", [scope])).toEqual([scope]);
    for (const scope of SCOPES.filter((other) => !own.includes(other))) {
      await expect(create(maker, "", [scope])).rejects.toEqual(refused);
    }
    await expect(create(maker, "default", [Scope.MACHINES_READ])).rejects.toEqual(refused);
    expect(await create(maker, "team", [])).toEqual([Scope.KEYS_WRITE, Scope.MACHINES_READ]);
  });

  test("of a project's own key may do everything but the server's affairs", async () => {
    const maker = await addKey(server, "team", []);
    for (const scope of [...NARROW, Scope.PROJECT]) {
      expect(await create(maker, "", [scope])).toEqual([scope]);
    }
    await expect(create(maker, "", [Scope.ADMIN])).rejects.toEqual(refused);
  });

  test("of an operator has every scope but admin, unless it is asked for", async () => {
    const operator = await addKey(server, "default", [Scope.ADMIN]);
    expect(await create(operator, "team", [])).toEqual([Scope.PROJECT]);
    expect(await create(operator, "team", [Scope.ADMIN])).toEqual([Scope.ADMIN]);
    await expect(create(operator, "nobody", [])).rejects.toThrow("no project");
  });
});
