import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { MachineService, TransferDirection, TransferService } from "@nullspace/proto";
import { ProcessService } from "@nullspace/proto/agent";
import { TOKEN_FAMILIES } from "@nullspace/proto/tokens";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SignedTokens } from "../domain/signed-tokens.js";
import { SigningKeys } from "../domain/signing-keys.js";
import { ServerHome } from "../home/server-home.js";
import { SIGNED_FAMILIES } from "../testing/signed-families.js";
import { startTestServer, type TestServer, transportTo } from "../testing/server.js";

let server: TestServer;
let machineId: string;
let transferUrl: string;
/** A good token of every family, also of those that were added last. */
let good: ReadonlyMap<string, string>;

beforeAll(async () => {
  server = await startTestServer();
  const transport = transportTo(server.url, "Connect over HTTP/2", server.apiKey);
  machineId = (await createClient(MachineService, transport).create({})).machine?.id ?? "";
  const { url } = await createClient(TransferService, transport).createUrl({
    machineId,
    path: "/a",
    direction: TransferDirection.DOWNLOAD,
  });
  transferUrl = url;
  const signature = new URL(url, server.url).searchParams.get("signature") ?? "";
  // By the server's own keys, for the very machine that is asked for.
  const keys = await SigningKeys.open((await ServerHome.open(server.home)).signingKeys);
  const tokens = new SignedTokens(keys);
  const claims = { machine: machineId, port: "80", path: "/a", method: "GET" };
  const secret = `abcdefghijkl_${"x".repeat(44)}`;
  good = new Map([
    ...SIGNED_FAMILIES.map((family) => [family, tokens.issue(family, claims, 600).token] as const),
    ["api-key", server.apiKey],
    ["traffic", `${TOKEN_FAMILIES.traffic.prefix}${secret}`],
    ["ssh-relay", `${TOKEN_FAMILIES["ssh-relay"].prefix}${secret}`],
    ["transfer-url", signature],
  ]);
});
afterAll(async () => server[Symbol.asyncDispose]());

/** Each way into the server: true when it let a token in. */
const ENTRANCES: Readonly<Record<string, (token: string) => Promise<boolean>>> = {
  "api-key": async (token) => {
    const transport = transportTo(server.url, "Connect over HTTP/2", token);
    const call = createClient(MachineService, transport).list({});
    return call.then(
      () => true,
      (error: unknown) => ConnectError.from(error).code !== Code.Unauthenticated,
    );
  },
  "api-key, to an agent": async (token) => {
    const transport = transportTo(server.url, "Connect over HTTP/1.1", token, machineId);
    const call = createClient(ProcessService, transport).list({});
    return call.then(
      () => true,
      (error: unknown) => ConnectError.from(error).code !== Code.Unauthenticated,
    );
  },
  "transfer-url": async (token) => {
    const url = transferUrl.replace(/signature=.*/, `signature=${encodeURIComponent(token)}`);
    const text = await (await fetch(server.url + url)).text();
    return !text.includes("TRANSFER_URL_INVALID");
  },
};

describe("a token opens what its family is for, and nothing else", () => {
  test.each(Object.entries(ENTRANCES))("%s", async (entrance, opens) => {
    expect([...good.keys()].toSorted()).toEqual(Object.keys(TOKEN_FAMILIES).toSorted());
    const opened: string[] = [];
    for (const [family, token] of good) if (await opens(token)) opened.push(family);
    expect(opened).toEqual([entrance.split(",")[0]]);
  });

  test.each(Object.entries(ENTRANCES))("%s: random and changed tokens", async (entrance, opens) => {
    const token = good.get(entrance.split(",")[0] ?? "") ?? "";
    const changed = fc
      .tuple(fc.nat(token.length - 1), fc.stringMatching(/^[A-Za-z0-9._-]{0,2}$/))
      .map(([at, other]) => token.slice(0, at) + other + token.slice(at + 1));
    const random = fc
      .constantFrom(...Object.values(TOKEN_FAMILIES).map(({ prefix }) => prefix))
      .chain((prefix) => fc.stringMatching(/^[A-Za-z0-9._-]{1,60}$/).map((text) => prefix + text));
    await fc.assert(
      fc.asyncProperty(fc.oneof(changed, random), async (text) => {
        expect(await opens(text)).toBe(text === token);
      }),
      { numRuns: 40 },
    );
  });
});
