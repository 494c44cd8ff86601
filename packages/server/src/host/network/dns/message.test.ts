import { decode, encode, type Question } from "dns-packet";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  encodeQuery,
  encodeReply,
  encodeTruncated,
  isTruncated,
  parseAnswer,
  parseQuery,
  type Query,
} from "./message.js";

function question(name: string, type: Question["type"] = "A"): Buffer {
  return encode({ type: "query", id: 7, questions: [{ name, type }] });
}

function parsed(name: string): Query {
  const query = parseQuery(question(name));
  if (query === undefined || "refusal" in query) throw new Error(`${name} is refused`);
  return query;
}

describe("a question", () => {
  test("is read with its name in lower case", () => {
    expect(parsed("WWW.Example.COM")).toMatchObject({ id: 7, name: "www.example.com", type: "A" });
  });

  test("goes on as nothing but its name and type", () => {
    const noisy = Buffer.concat([question("example.com"), Buffer.from("a secret")]);
    const query = parseQuery(noisy);
    if (query === undefined || "refusal" in query) throw new Error("refused");
    const sent = encodeQuery(query, 9);
    expect(sent.includes("secret")).toBe(false);
    expect(decode(sent)).toMatchObject({ id: 9, questions: [{ name: "example.com", type: "A" }] });
  });

  test.each([
    ["an answer", Buffer.from(question("a.com").with(2, 0x80)), undefined],
    ["too short", Buffer.alloc(11), undefined],
    ["another operation", Buffer.from(question("a.com").with(2, 0x28)), "notImplemented"],
    ["no question", encode({ type: "query", id: 7, questions: [] }), "formatError"],
    [
      "two questions",
      encode({
        type: "query",
        questions: [
          { name: "a.com", type: "A" },
          { name: "b.com", type: "A" },
        ],
      }),
      "formatError",
    ],
    ["a name with other characters", question("a b.com"), "noSuchName"],
    ["a torn name", question("example.com").subarray(0, 20), "formatError"],
  ])("that is %s is refused", (_what, message, refusal) => {
    const result = parseQuery(message);
    expect(result && "refusal" in result ? result.refusal : result).toBe(refusal);
  });

  test("whose name points to itself ends", () => {
    const loop = Buffer.concat([
      question("a.com").subarray(0, 12),
      Buffer.from([0xc0, 12, 0, 1, 0, 1]),
    ]);
    expect(parseQuery(loop)).toMatchObject({ refusal: "formatError" });
  });

  test("of any bytes is read or refused, and what is read holds no other characters", () => {
    const torn = fc
      .tuple(fc.domain(), fc.array(fc.tuple(fc.nat(60), fc.nat(255)), { maxLength: 6 }), fc.nat(60))
      .map(([name, changes, cut]) => {
        const bytes = Buffer.from(question(name));
        for (const [at, byte] of changes) if (at < bytes.length) bytes[at] = byte;
        return bytes.subarray(0, Math.max(12, bytes.length - (cut % 8)));
      });
    const bytes = fc.uint8Array({ maxLength: 600 }).map((array) => Buffer.from(array));
    fc.assert(
      fc.property(fc.oneof(bytes, torn), (message) => {
        const query = parseQuery(message);
        if (query === undefined || "refusal" in query) return;
        expect(query.name).toMatch(/^[a-z0-9_.-]*$/);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("an answer", () => {
  const query = parsed("www.example.com");
  const answer = (answers: NonNullable<Parameters<typeof encode>[0]["answers"]>, id = 9) =>
    encode({ type: "response", id, questions: [{ name: query.name, type: "A" }], answers });

  test("gives the addresses of the name, through its aliases in any order", () => {
    const message = answer([
      { type: "A", name: "c.net", data: "203.0.113.7", ttl: 60 },
      { type: "CNAME", name: "B.net", data: "c.net" },
      { type: "CNAME", name: "www.example.com", data: "b.net" },
    ]);
    expect(parseAnswer(message, 9, query)).toEqual([{ address: "203.0.113.7", ttl: 60 }]);
  });

  test("gives no address of another name", () => {
    const message = answer([{ type: "A", name: "other.com", data: "203.0.113.7", ttl: 60 }]);
    expect(parseAnswer(message, 9, query)).toEqual([]);
  });

  test("to another question is none", () => {
    expect(parseAnswer(answer([], 10), 9, query)).toBeUndefined();
    expect(parseAnswer(answer([]), 9, parsed("other.com"))).toBeUndefined();
    expect(parseAnswer(encodeQuery(query, 9), 9, query)).toBeUndefined();
  });

  test("of any bytes is read or is none", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        const addresses = parseAnswer(Buffer.from(bytes), 9, query) ?? [];
        expect(Array.isArray(addresses)).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

test("replies bear the number, the question and the error of what they are to", () => {
  const query = { ...parsed("example.com"), type: "AAAA" };
  expect(decode(encodeReply(query))).toMatchObject({
    id: 7,
    type: "response",
    questions: [{ name: "example.com", type: "AAAA" }],
    answers: [],
  });
  expect(decode(encodeReply(query, "noSuchName"))).toMatchObject({ rcode: "NXDOMAIN" });
  expect(decode(encodeReply({ id: 7 }, "formatError"))).toMatchObject({ rcode: "FORMERR" });
  expect(isTruncated(encodeTruncated(query))).toBe(true);
});
