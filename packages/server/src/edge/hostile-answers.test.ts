import { connect as connectHttp2 } from "node:http2";
import { createClient } from "@connectrpc/connect";
import { MACHINE_ID_HEADER, MachineService } from "@nullspace/proto";
import { ProcessService } from "@nullspace/proto/agent";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AgentConnection } from "../host/agent/agent-connection.js";
import { FakeHost } from "../testing/fake-host.js";
import { HostileGuest } from "../testing/hostile-guest.js";
import { FLAG, FRAME, frame, headerBlock } from "../testing/http2-frames.js";
import { startTestServer, type TestServer, transportTo } from "../testing/server.js";

type Headers = (readonly [name: string, value: string])[];

/** What the agent answers each call with. */
let answer: { headers: Headers; trailers: Headers | undefined };

let guest: HostileGuest;
let host: FakeHost;
let connection: AgentConnection;
let server: TestServer;
let machineId: string;

beforeAll(async () => {
  guest = await HostileGuest.start(async (port) => {
    await port.begin();
    for (let nth = 1; ; nth++) {
      const stream = await port.call(nth);
      const { headers, trailers } = answer;
      const end = trailers === undefined ? FLAG.endStream : 0;
      await port.send(frame(FRAME.headers, FLAG.endHeaders, stream, headerBlock(headers)));
      await port.send(frame(FRAME.data, end, stream, Buffer.from("hello")));
      if (trailers === undefined) continue;
      const flags = FLAG.endHeaders | FLAG.endStream;
      await port.send(frame(FRAME.headers, flags, stream, headerBlock(trailers)));
    }
  });
  connection = new AgentConnection("m", guest.directory, Buffer.alloc(32));
  host = new FakeHost();
  server = await startTestServer({
    openHost: async () => ({
      service: host.service,
      connectAgent: () => connection.session({ timeoutMs: 10_000 }),
      [Symbol.asyncDispose]: () => host.hangUp(),
    }),
  });
  const transport = transportTo(server.url, "Connect over HTTP/2", server.apiKey);
  const { machine } = await createClient(MachineService, transport).create({});
  machineId = machine?.id ?? "";
});
afterAll(async () => {
  connection[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
  await host[Symbol.asyncDispose]();
  await guest[Symbol.asyncDispose]();
});

/** Makes a call as a user does. Tells status, header "x", and body, or that the answer broke off. */
const CALLS = {
  "HTTP/1.1": async (): Promise<string> => {
    try {
      const { path, headers } = request();
      const response = await fetch(server.url + path, { method: "POST", headers, body: "{}" });
      return `${response.status} ${await response.text()}`;
    } catch {
      return "broken off";
    }
  },
  "HTTP/2": async (): Promise<string> => {
    const session = connectHttp2(server.url);
    session.on("error", () => undefined);
    try {
      const { path, headers } = request();
      const call = session.request({ ":method": "POST", ":path": path, ...headers });
      call.end("{}");
      let told = "broken off";
      call.on("response", ({ ":status": status }) => (told = `${status} `));
      call.on("data", (data: Buffer) => (told += data.toString()));
      call.on("error", () => (told = "broken off"));
      await new Promise((resolve) => call.once("close", resolve));
      return told;
    } finally {
      session.destroy();
    }
  },
};

function request() {
  const headers: Record<string, string> = {
    authorization: `Bearer ${server.apiKey}`,
    [MACHINE_ID_HEADER]: machineId,
    "content-type": "application/json",
  };
  return { path: `/${ProcessService.typeName}/List`, headers };
}

const OK: Headers = [[":status", "200"]];

const ANSWERS: [string, Headers, Headers | undefined][] = [
  ["a status that there is none of", [[":status", "999"]], undefined],
  ["one that ends nothing", [[":status", "101"]], undefined],
  ["one that is no number", [[":status", "x"]], undefined],
  ["one that has no body, and a body", [[":status", "204"]], undefined],
  ["a header of the connection", [...OK, ["te", "gzip"]], undefined],
  ["bytes that are no text", [...OK, ["x", "\xff\xfe"]], undefined],
  ["text of many bytes", [...OK, ["x", "\xe2\x82\xac"]], undefined],
  ["a line that ends in the middle", [...OK, ["x", "a\r\nset-cookie: b=c"]], undefined],
  ["a name with a space", [...OK, ["a b", "x"]], undefined],
  ["the same twice", [...OK, ["etag", "a"], ["etag", "b"]], undefined],
  ["trailers of the connection", OK, [["te", "gzip"]]],
  ["trailers that tell a length", OK, [["content-length", "7"]]],
  ["trailers that are no text", OK, [["x", "\xff\xe2\x82\xac"]]],
  ["a length that is a lie", [...OK, ["content-length", "50"]], undefined],
];

test.each(Object.entries(CALLS))(
  "whatever headers an agent answers with, a call over %s ends, and so does none beside it",
  async (_, call) => {
    for (const [what, headers, trailers] of ANSWERS) {
      answer = { headers, trailers };
      const told = `${what}: ${await call()}`;
      expect(told).toMatch(/: (200 hello|20\d |503 .*|broken off)$/s);
      answer = { headers: OK, trailers: undefined };
      expect(`after ${what}: ${await call()}`).toBe(`after ${what}: 200 hello`);
    }
  },
  30_000,
);
