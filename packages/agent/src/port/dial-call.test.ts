import { once } from "node:events";
import type { ClientHttp2Session } from "node:http2";
import { createServer } from "node:net";
import { buffer } from "node:stream/consumers";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { DialRequestSchema, DialResponseSchema, PortService } from "@nullspace/proto/agent";
import { envelope, EnvelopeReader } from "@nullspace/proto/envelopes";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startTestAgent, type TestAgent } from "../testing/agent.js";
import { dialHttp2 } from "../testing/dial.js";

let agent: TestAgent;
let session: ClientHttp2Session;
/** Says what it heard, when it has heard all. */
const service = createServer({ allowHalfOpen: true }, (socket) => {
  void buffer(socket).then((heard) => socket.end(`heard ${heard.toString()}`));
});
let port: number;

beforeAll(async () => {
  agent = await startTestAgent();
  session = await dialHttp2(agent.socket);
  service.listen(0, "127.0.0.1");
  await once(service, "listening");
  const place = service.address();
  if (place === null || typeof place === "string") throw new Error("no port");
  port = place.port;
});

afterAll(async () => {
  session.close();
  service.close();
  await agent[Symbol.asyncDispose]();
});

type Message = NonNullable<MessageInitShape<typeof DialRequestSchema>["message"]>;

const encode = (message: Message) =>
  toBinary(DialRequestSchema, create(DialRequestSchema, { message }));
const open = () => envelope(encode({ case: "open", value: { port } }));
const data = (text: string) =>
  envelope(encode({ case: "data", value: new TextEncoder().encode(text) }));
const end = () => envelope(encode({ case: "end", value: {} }));

/** Sends bytes as they are, and reads the whole answer. */
async function call(pieces: readonly Uint8Array[], contentType = "application/connect+proto") {
  const stream = session.request({
    ":method": "POST",
    ":path": `/${PortService.typeName}/${PortService.method.dial.name}`,
    "content-type": contentType,
  });
  let status: number | undefined;
  stream.once("response", (headers) => (status = headers[":status"]));
  for (const piece of pieces) stream.write(piece);
  stream.end();
  const answer = await buffer(stream);
  const told: string[] = [];
  let ending: unknown;
  const reader = new EnvelopeReader(1 << 20, (flags, content) => {
    if (flags !== 0) ending = JSON.parse(content.toString());
    else {
      const { message } = fromBinary(DialResponseSchema, content);
      const isData = message.case === "data";
      told.push(isData ? Buffer.from(message.value).toString() : String(message.case));
    }
  });
  if (contentType === "application/connect+proto") reader.push(answer);
  return { status, told, ending };
}

describe("a call of Dial", () => {
  test("is the same in pieces of any size", async () => {
    const all = Buffer.concat([open(), data("one "), data("two"), end()]);
    const whole = { status: 200, told: ["opened", "heard one two", "end"], ending: {} };
    expect(await call([all])).toEqual(whole);
    expect(await call(Array.from(all, (byte) => Uint8Array.of(byte)))).toEqual(whole);
  });

  test.each<[string, () => readonly Uint8Array[]]>([
    ["a compressed message", () => [envelope(encode({ case: "end", value: {} }), 1)]],
    ["a length of 4 GiB", () => [Uint8Array.of(0, 255, 255, 255, 255)]],
    ["what is no message", () => [open(), envelope(Uint8Array.of(255, 255))]],
    ["a message that holds nothing", () => [open(), envelope(new Uint8Array())]],
    ["data after the end", () => [open(), end(), data("late")]],
  ])("refuses %s", async (_, pieces) => {
    const { status, ending } = await call(pieces());
    expect(status).toBe(200);
    expect(ending).toMatchObject({ error: { code: "invalid_argument" } });
  });

  test("that stops in the middle of a message is told so", async () => {
    const { ending } = await call([open(), data("cut off").subarray(0, 8)]);
    expect(ending).toMatchObject({ error: { code: "unavailable" } });
  });

  test("of another protocol is none that anybody serves", async () => {
    const { status } = await call([], "application/json");
    expect(status).not.toBe(200);
  });
});
