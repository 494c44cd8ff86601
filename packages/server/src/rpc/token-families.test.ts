import {
  type IncomingHttpHeaders,
  type IncomingMessage,
  request as requestHttp,
  type RequestOptions,
} from "node:http";
import { text } from "node:stream/consumers";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import {
  EDGE_TOKEN_PARAMETER,
  MachineService,
  PREVIEW_PROXY_TOKEN_HEADER,
  PreviewKind,
  PreviewService,
  TRAFFIC_ACCESS_TOKEN_HEADER,
  TransferDirection,
  TransferService,
} from "@nullspace/proto";
import { ProcessService } from "@nullspace/proto/agent";
import { TOKEN_FAMILIES } from "@nullspace/proto/tokens";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type AgentServer, startAgentServer } from "../testing/agent-server.js";
import { SignedTokens } from "../domain/signed-tokens.js";
import { SigningKeys } from "../domain/signing-keys.js";
import { ServerHome } from "../home/server-home.js";
import { newRelayToken } from "../domain/ssh/token.js";
import { DEFAULT_PROJECT } from "../domain/project.js";
import { openDatabase } from "../store/database.js";
import { SqlSshAccessStore } from "../store/ssh-accesses.js";
import { SIGNED_FAMILIES } from "../testing/signed-families.js";
import { transportTo } from "../testing/server.js";

/** A relay token of the machine. Made beside the server: this computer's sshd is none of ours. */
async function addSshAccess(): Promise<string> {
  const id = "abcdefghijkl";
  const { token, hash } = newRelayToken(id);
  const file = await (await ServerHome.open(server.home)).databaseFile();
  const database = await openDatabase(file, () => undefined);
  await new SqlSshAccessStore(database).insert({
    id,
    machineId,
    projectId: DEFAULT_PROJECT,
    fingerprint: "",
    tokenHash: hash,
    createdAt: new Date(),
    expiresAt: new Date(Date.now() + 600_000),
    revokedAt: undefined,
    lastUsedAt: undefined,
    useCount: 0,
  });
  await database.destroy();
  return token;
}

/** Whether a request that wants another protocol is let in: the machine behind has no OpenSSH. */
async function isRelayed(options: RequestOptions): Promise<boolean> {
  const request = requestHttp(server.url, { ...options, agent: false });
  request.end();
  const answered = Promise.withResolvers<string>();
  request.once("response", (answer) => answered.resolve(text(answer)));
  request.once("connect", (_answer, socket, head) =>
    answered.resolve(text(socket).then((rest) => head.toString() + rest)),
  );
  request.once("error", answered.reject);
  return !(await answered.promise).includes("SSH_TOKEN_INVALID");
}

/** Nothing listens there. */
const CLOSED_PORT = 9;

let server: AgentServer;
let machineId: string;
let transferUrl: string;
let previewUrl: URL;
/** Of a machine whose ports are not public. */
let guardedUrl: URL;
let guardedToken: string;
/** A good token of every family, also of those that were added last. */
let good: ReadonlyMap<string, string>;

beforeAll(async () => {
  server = await startAgentServer();
  const transport = transportTo(server.url, "Connect over HTTP/2", server.apiKey);
  const machines = createClient(MachineService, transport);
  machineId = (await machines.create({})).machine?.id ?? "";
  const { url } = await createClient(TransferService, transport).createUrl({
    machineId,
    path: "/a",
    direction: TransferDirection.DOWNLOAD,
  });
  transferUrl = url;
  const signature = new URL(url, server.url).searchParams.get("signature") ?? "";
  const previews = createClient(PreviewService, transport);
  const place = { machineId, port: CLOSED_PORT };
  const byUrl = await previews.create({ ...place, kind: PreviewKind.URL });
  const byProxy = await previews.create({ ...place, kind: PreviewKind.PROXY });
  previewUrl = new URL(byUrl.httpUrl);
  const previewToken = previewUrl.searchParams.get(EDGE_TOKEN_PARAMETER) ?? "";
  const visit = await visitPreview(previewUrl, { accept: "text/html" });
  const [cookie = ""] = visit.headers["set-cookie"] ?? [];
  const guarded = await machines.create({ network: { previews: { allowPublicTraffic: false } } });
  const toGuarded = await previews.create({
    machineId: guarded.machine?.id ?? "",
    port: CLOSED_PORT,
    kind: PreviewKind.PROXY,
  });
  guardedUrl = new URL(toGuarded.httpUrl);
  guardedToken = toGuarded.httpToken;
  // By the server's own keys, for the very machine that is asked for.
  const keys = await SigningKeys.open((await ServerHome.open(server.home)).signingKeys);
  const tokens = new SignedTokens(keys);
  const claims = { machine: machineId, port: "80", path: "/a", method: "GET" };
  good = new Map([
    ...SIGNED_FAMILIES.map((family) => [family, tokens.issue(family, claims, 600).token] as const),
    ["api-key", server.apiKey],
    ["ssh-relay", await addSshAccess()],
    ["transfer-url", signature],
    ["preview", previewToken],
    ["preview-cookie", /=([^;]+)/.exec(cookie)?.[1] ?? ""],
    ["preview-proxy", byProxy.httpToken],
    ["traffic", guarded.trafficAccessToken],
  ]);
});
afterAll(async () => server[Symbol.asyncDispose]());

/** Why a preview keeps somebody out; beyond that it says that nothing listens there. */
const KEPT_OUT = /PREVIEW_TOKEN_INVALID|PREVIEW_TOKEN_MISSING|TRAFFIC_TOKEN_REQUIRED/;

/** Asks for a page of a preview, at the server's own address. */
async function visitPreview(
  { host, pathname, search }: URL,
  headers: Record<string, string>,
): Promise<{ isIn: boolean; headers: IncomingHttpHeaders }> {
  const path = pathname + search;
  const request = requestHttp(server.url, { path, headers: { host, ...headers }, agent: false });
  request.end();
  const answered = Promise.withResolvers<IncomingMessage>();
  request.once("response", answered.resolve).once("error", answered.reject);
  const answer = await answered.promise;
  return { isIn: !KEPT_OUT.test(await text(answer)), headers: answer.headers };
}

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
  preview: async (token) => {
    const url = new URL(previewUrl);
    url.searchParams.set(EDGE_TOKEN_PARAMETER, token);
    return (await visitPreview(url, {})).isIn;
  },
  "preview-cookie": async (token) => {
    const url = new URL("/", previewUrl);
    return (await visitPreview(url, { cookie: `ns_preview=${token}` })).isIn;
  },
  "preview-proxy": async (token) => {
    const url = new URL("/", previewUrl);
    return (await visitPreview(url, { [PREVIEW_PROXY_TOKEN_HEADER]: token })).isIn;
  },
  traffic: async (token) => {
    const headers = {
      [PREVIEW_PROXY_TOKEN_HEADER]: guardedToken,
      [TRAFFIC_ACCESS_TOKEN_HEADER]: token,
    };
    return (await visitPreview(guardedUrl, headers)).isIn;
  },
  "ssh-relay": async (token) =>
    isRelayed({
      path: `/v1/ssh/${machineId}`,
      headers: {
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "sec-websocket-version": "13",
        authorization: `Bearer ${token}`,
      },
    }),
  "ssh-relay, by CONNECT": async (token) =>
    isRelayed({
      method: "CONNECT",
      path: `${machineId}:22`,
      headers: { "proxy-authorization": `Bearer ${token}` },
    }),
  "transfer-url": async (token) => {
    const url = transferUrl.replace(/signature=.*/, `signature=${encodeURIComponent(token)}`);
    const told = await (await fetch(server.url + url)).text();
    return !told.includes("TRANSFER_URL_INVALID");
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
      .chain((prefix) => fc.stringMatching(/^[A-Za-z0-9._-]{1,60}$/).map((rest) => prefix + rest));
    await fc.assert(
      fc.asyncProperty(fc.oneof(changed, random), async (other) => {
        expect(await opens(other)).toBe(other === token);
      }),
      { numRuns: 40 },
    );
  });
});
