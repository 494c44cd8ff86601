import * as fc from "fast-check";
import { expect, test } from "vitest";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { type PreviewTokenFamily, PreviewTokens } from "./preview-tokens.js";
import { SigningKeys } from "./signing-keys.js";
import { TransferUrls } from "./transfer-urls.js";

const NOW = 1_800_000_000_000;
const openRing = () =>
  SigningKeys.open({ load: async () => [], save: async () => undefined }, () => NOW);
const ring = await openRing();
const key = Buffer.alloc(32, 7);
const tokens = new PreviewTokens(ring, key, () => NOW);

const families: readonly PreviewTokenFamily[] = ["url", "cookie", "proxy"];
const transports = ["http", "websocket"] as const;
const id = (first: string) => fc.stringMatching(new RegExp(`^${first}[a-z0-9]{19}$`));
const made = fc.record({
  family: fc.constantFrom(...families),
  transport: fc.constantFrom(...transports),
  id: id("p"),
  machineId: id("m"),
  port: fc.integer({ min: 1, max: 65_535 }),
  expiresAt: fc
    .integer({ min: NOW / 1000 + 1, max: NOW / 1000 + 86_400 })
    .map((seconds) => new Date(seconds * 1000)),
});

type Made = typeof made extends fc.Arbitrary<infer T> ? T : never;

function sign({ family, transport, ...pass }: Made): string {
  return tokens.sign(family, transport, pass);
}

function open({ family, machineId, port, transport }: Made, token: string): string {
  try {
    return tokens.verify(family, token, { machineId, port, transport }).grantId;
  } catch (error) {
    if (error instanceof Fault) return ErrorReason[error.reason];
    throw error;
  }
}

test("a token opens what it was made for", () => {
  fc.assert(
    fc.property(made, (one) => {
      expect(open(one, sign(one))).toBe(one.id);
    }),
  );
});

test("no token opens another's family, machine, port, transport, grant or time", () => {
  const changed = fc.tuple(
    made,
    made,
    fc.subarray(["family", "transport", "machineId", "port"] as const, { minLength: 1 }),
  );
  fc.assert(
    fc.property(changed, ([one, other, fields]) => {
      const asked = { ...one };
      for (const field of fields) Object.assign(asked, { [field]: other[field] });
      fc.pre(fields.some((field) => one[field] !== other[field]));
      expect(open(asked, sign(one))).toBe("PREVIEW_TOKEN_INVALID");
      // Written to look like the other's.
      const [, rest = ""] = sign(one).split("_");
      const [prefix = ""] = sign(asked).split("_");
      expect(open(asked, `${prefix}_${rest}`)).toBe("PREVIEW_TOKEN_INVALID");
    }),
  );
  fc.assert(
    fc.property(made, made, (one, other) => {
      fc.pre(one.id !== other.id && one.expiresAt.getTime() !== other.expiresAt.getTime());
      const signature = sign(one).split(".").slice(2).join(".");
      const [, expiry] = sign({ ...one, expiresAt: other.expiresAt }).split(".");
      const [head = ""] = sign(one).split(".");
      const [otherHead = ""] = sign({ ...one, id: other.id }).split(".");
      expect(open(one, [head, expiry, signature].join("."))).toBe("PREVIEW_TOKEN_INVALID");
      const [, ownExpiry] = sign(one).split(".");
      expect(open(one, [otherHead, ownExpiry, signature].join("."))).toBe("PREVIEW_TOKEN_INVALID");
    }),
  );
});

test("any change of a token ends it, and no text is one", () => {
  fc.assert(
    fc.property(made, fc.nat(), fc.string({ minLength: 1, maxLength: 1 }), (one, at, letter) => {
      const token = sign(one);
      const index = at % token.length;
      fc.pre(token[index] !== letter);
      const changed = token.slice(0, index) + letter + token.slice(index + 1);
      expect(open(one, changed)).toBe("PREVIEW_TOKEN_INVALID");
    }),
  );
  fc.assert(
    fc.property(made, fc.string(), (one, text) => {
      expect(open(one, text)).toBe("PREVIEW_TOKEN_INVALID");
    }),
  );
});

test("a token ends with its time", () => {
  const [one] = fc.sample(made, 1);
  if (one === undefined) throw new Error("no sample");
  const token = sign(one);
  const later = new PreviewTokens(ring, key, () => one.expiresAt.getTime());
  expect(() => later.verify(one.family, token, one)).toThrow("expired");
  const before = new PreviewTokens(ring, key, () => one.expiresAt.getTime() - 1);
  expect(before.verify(one.family, token, one).grantId).toBe(one.id);
});

test("another key opens nothing", async () => {
  const other = new PreviewTokens(await openRing(), Buffer.alloc(32, 8), () => NOW);
  fc.assert(
    fc.property(made, (one) => {
      expect(() => other.verify(one.family, sign(one), one)).toThrow("does not open");
      expect(other.isTraffic(tokens.signTraffic(one.machineId), one.machineId)).toBe(false);
    }),
  );
});

test("a traffic token is its machine's, and opens no preview", () => {
  fc.assert(
    fc.property(made, id("m"), (one, machineId) => {
      const token = tokens.signTraffic(one.machineId);
      expect(tokens.isTraffic(token, one.machineId)).toBe(true);
      expect(tokens.isTraffic(token, machineId)).toBe(machineId === one.machineId);
      expect(tokens.isTraffic(sign(one), one.machineId)).toBe(false);
      expect(open(one, token)).toBe("PREVIEW_TOKEN_INVALID");
    }),
  );
});

test("signatures of transfer URLs open nothing here, were the keys the same", () => {
  const { url } = new TransferUrls(ring, () => NOW).sign({
    machineId: `m${"0".repeat(19)}`,
    direction: "download",
    path: "/x",
    user: "",
    expiresInSeconds: 60,
  });
  const signature = new URL(url, "http://a").searchParams.get("signature") ?? "";
  fc.assert(
    fc.property(made, (one) => {
      const [head, expiry] = sign(one).split(".");
      expect(open(one, [head, expiry, signature].join("."))).toBe("PREVIEW_TOKEN_INVALID");
    }),
  );
});
