import { create, toBinary } from "@bufbuild/protobuf";
import { DialResponseSchema, PingResponseSchema, ReadResponseSchema } from "@nullspace/proto/agent";
import fc from "fast-check";
import { FRAME, frame, frameHead, headerBlock, uint32 } from "./http2-frames.js";

const pick = <T>(...values: readonly T[]) => fc.constantFrom(...values);
const bytes = (maxLength: number) =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));

/** Values that have been trouble somewhere. */
const NAMES = [
  "content-type",
  "content-length",
  "content-encoding",
  "connect-content-encoding",
  "grpc-status",
  "grpc-message",
  "transfer-encoding",
  "connection",
  "te",
  "trailer",
  "upgrade",
  "set-cookie",
  "date",
  "etag",
  "x",
  "X",
  "",
  "a b",
  ":path",
  ":status",
  "access-control-allow-origin",
  "http2-settings",
];
const VALUES = [
  "",
  "0",
  "5",
  "-1",
  "99999999999999999999",
  "application/proto",
  "application/connect+proto",
  "application/json",
  "application/grpc",
  "gzip",
  "br",
  "identity",
  "chunked",
  "close",
  "websocket",
  "trailers",
  "\0",
  "a\r\nb: c",
  "\xff\xfe",
  "\xe2\x82\xac",
  "\x7f",
  " x ",
];

const status = pick("200", "200", "200", "204", "304", "404", "500", "599", "600", "999", "1000");
const oddStatus = pick("0", "099", "100", "101", "103", "199", "", "abc", "-200");
const field = fc.tuple(
  pick(...NAMES),
  fc.oneof(pick(...VALUES), fc.string({ maxLength: 40, unit: "binary-ascii" })),
);

const block = fc
  .oneof(
    {
      weight: 6,
      arbitrary: fc.tuple(status, pick("application/proto", "application/connect+proto")),
    },
    { weight: 2, arbitrary: fc.tuple(fc.oneof(status, oddStatus), pick(...VALUES)) },
  )
  .chain(([code, type]) =>
    fc
      .array(field, { maxLength: 4 })
      .map((more) => headerBlock([[":status", code], ["content-type", type], ...more])),
  );
const anyBlock = fc.oneof(
  { weight: 5, arbitrary: block },
  { weight: 2, arbitrary: fc.array(field, { maxLength: 6 }).map(headerBlock) },
  { weight: 1, arbitrary: bytes(300) },
  // A field for the table, and names of places there.
  {
    weight: 1,
    arbitrary: bytes(30).map((more) =>
      Buffer.concat([Buffer.from([0x88, 0x40, 1, 0x78, 1, 0x79]), more, Buffer.alloc(500, 0xbe)]),
    ),
  },
);

const ENDS = [
  "{}",
  "{",
  "null",
  "[]",
  '{"error":null}',
  '{"error":{}}',
  '{"error":{"code":"not_found","message":"x"}}',
  '{"error":{"code":"ok","message":7}}',
  '{"error":{"code":"internal","details":[{"type":"nullspace.v1.ErrorInfo","value":"CAA"}]}}',
  '{"error":{"code":"internal","details":[{"type":"nullspace.v1.ErrorInfo","value":"CP////8P"}]}}',
  '{"error":{"code":"internal","details":[{"type":"nullspace.v1.ErrorInfo","value":"!!"}]}}',
  '{"metadata":{"set-cookie":["a=b"],"x":["\\r\\n"]}}',
  '{"metadata":{"":["a"],"a b":["\\u20ac"]},"error":{"code":"unavailable"}}',
];

/** What agents answer, and what looks like it. */
const message = fc.oneof(
  pick(
    toBinary(PingResponseSchema, create(PingResponseSchema)),
    ...(["opened", "end"] as const).map((name) =>
      toBinary(
        DialResponseSchema,
        create(DialResponseSchema, { message: { case: name, value: {} } }),
      ),
    ),
    toBinary(
      DialResponseSchema,
      create(DialResponseSchema, { message: { case: "data", value: Buffer.alloc(2000, "x") } }),
    ),
    toBinary(
      ReadResponseSchema,
      create(ReadResponseSchema, { part: { case: "data", value: Buffer.alloc(2000, "x") } }),
    ),
    toBinary(
      ReadResponseSchema,
      create(ReadResponseSchema, {
        part: {
          case: "info",
          value: {
            path: "/x",
            size: 2n ** 64n - 1n,
            modifiedAt: { seconds: 2n ** 62n, nanos: -7 },
          },
        },
      }),
    ),
    ...ENDS.map((text) => Buffer.from(text)),
  ).map((array) => Buffer.from(array)),
  bytes(200),
);

/** A message with its flags and its length, which is a lie at times. */
const envelope = fc
  .tuple(pick(0, 0, 0, 2, 2, 1, 3, 0x80, 0xff), message, pick(0, 0, 0, 0, 1, -1, 0x7fffffff))
  .map(([flags, content, lie]) => {
    const length = uint32(Math.max(0, Math.min(0xffffffff, content.length + lie)));
    return Buffer.concat([Buffer.from([flags]), length, content]);
  });
const body = fc.oneof(
  fc.array(envelope, { maxLength: 4 }).map((all) => Buffer.concat(all)),
  message,
  bytes(2000),
);

const PAYLOADS: Record<number, fc.Arbitrary<Buffer>> = {
  [FRAME.data]: body,
  [FRAME.headers]: anyBlock,
  [FRAME.continuation]: anyBlock,
  [FRAME.pushPromise]: fc
    .tuple(pick(2, 4, 1, 0), anyBlock)
    .map(([id, head]) => Buffer.concat([uint32(id), head])),
  [FRAME.settings]: fc
    .array(fc.tuple(fc.nat({ max: 10 }), pick(0, 1, 16_384, 0x7fffffff, 0xffffffff)), {
      maxLength: 5,
    })
    .map((all) =>
      Buffer.concat(all.map(([id, value]) => Buffer.concat([Buffer.from([0, id]), uint32(value)]))),
    ),
  [FRAME.windowUpdate]: pick(0, 1, 65_535, 0x7fffffff, 0xffffffff).map(uint32),
  [FRAME.reset]: pick(0, 1, 2, 7, 8, 11, 0xffffffff).map(uint32),
  [FRAME.goaway]: fc
    .tuple(pick(0, 1, 5, 0x7fffffff), pick(0, 1, 11), bytes(20))
    .map(([last, code, more]) => Buffer.concat([uint32(last), uint32(code), more])),
  [FRAME.ping]: fc.oneof(bytes(8), fc.constant(Buffer.alloc(8))),
};

const frameOf = (type: number) =>
  fc
    .record({
      flags: fc.oneof(
        { weight: 3, arbitrary: pick(0, 1, 4, 5) },
        { weight: 1, arbitrary: fc.nat({ max: 255 }) },
      ),
      stream: fc.oneof(
        { weight: 8, arbitrary: pick(1, 3, 5, 7, 9) },
        { weight: 2, arbitrary: pick(0, 2, 11, 101, 0x7fffffff, 0xffffffff) },
      ),
      payload: PAYLOADS[type] ?? bytes(100),
      lie: fc.oneof(
        { weight: 12, arbitrary: fc.constant(0) },
        { weight: 1, arbitrary: pick(1, -1, 16_385, 0xfffff0) },
      ),
    })
    .map(({ flags, stream, payload, lie }) => {
      const length = Math.max(0, Math.min(0xffffff, payload.length + lie));
      return Buffer.concat([frameHead(length, type, flags, stream), payload]);
    });

/** An answer that begins as it should, so that what follows is looked at; on a stream. */
const answerOn = fc.tuple(block, fc.array(body, { maxLength: 3 }), anyBlock, fc.boolean()).map(
  ([head, parts, trailers, isPlain]) =>
    (stream: number) =>
      Buffer.concat([
        frame(FRAME.headers, 4, stream, head),
        ...parts.map((part) => frame(FRAME.data, 0, stream, part)),
        isPlain
          ? frame(FRAME.data, 1, stream, Buffer.alloc(0))
          : frame(FRAME.headers, 5, stream, trailers),
      ]),
);
const answer = fc.tuple(answerOn, pick(1, 3, 5, 7, 9)).map(([on, stream]) => on(stream));

/** What a guest may send for HTTP/2 after its settings: half the time answers, one to each call. */
export const hostileSession: fc.Arbitrary<Buffer[]> = fc.oneof(
  fc
    .array(answerOn, { minLength: 1, maxLength: 6 })
    .map((answers) => answers.map((on, index) => on(2 * index + 1))),
  fc.array(
    fc.oneof(
      { weight: 6, arbitrary: answer },
      { weight: 4, arbitrary: pick(...Object.values(FRAME)).chain(frameOf) },
      { weight: 1, arbitrary: pick(10, 12, 16, 77, 255).chain(frameOf) },
      { weight: 1, arbitrary: bytes(200) },
    ),
    { minLength: 1, maxLength: 12 },
  ),
);

/** Sizes of the pieces that a stream comes in, again and again. */
export const pieceSizes = fc.array(
  fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 100, max: 70_000 })),
  {
    minLength: 1,
    maxLength: 5,
  },
);

/** Cuts bytes into pieces of these sizes. */
export function torn(all: Buffer, sizes: readonly number[]): Buffer[] {
  const pieces: Buffer[] = [];
  for (let at = 0, i = 0; at < all.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    // A long stream in single bytes takes long and shows no more than its beginning.
    const next = i < 200 ? at + size : all.length;
    pieces.push(all.subarray(at, next));
    at = next;
  }
  return pieces;
}
