import * as fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { LONGEST_TOKEN_SECONDS } from "@nullspace/proto/tokens";
import { SIGNED_FAMILIES } from "../testing/signed-families.js";
import { type SigningKey, SigningKeys, type SigningKeyStore } from "./signing-keys.js";

const START = Date.parse("2026-01-01T00:00:00Z");
let now: number;
let saved: readonly SigningKey[];
const store: SigningKeyStore = {
  load: async () => saved,
  save: async (keys) => {
    saved = keys;
  },
};

beforeEach(() => {
  now = START;
  saved = [];
});

const open = () => SigningKeys.open(store, () => now);

describe("the ring of signing keys", () => {
  test("makes a first key and keeps it", async () => {
    const signature = (await open()).sign("preview", "text");
    expect((await open()).verify("preview", "text", signature)).toBe(true);
    expect(saved).toHaveLength(1);
  });

  test("a signature holds for one family and one text", async () => {
    const keys = await open();
    const family = fc.constantFrom(...SIGNED_FAMILIES);
    fc.assert(
      fc.property(family, family, fc.string(), fc.string(), (made, shown, text, other) => {
        const signature = keys.sign(made, text);
        expect(keys.verify(shown, text, signature)).toBe(made === shown);
        expect(keys.verify(made, other, signature)).toBe(text === other);
      }),
    );
  });

  test("a signature with any character changed, added or missing is none", async () => {
    const keys = await open();
    const signature = keys.sign("viewer", "text");
    for (let at = 0; at < signature.length; at++) {
      for (const other of ["x", "A", ".", "-", ""]) {
        const changed = signature.slice(0, at) + other + signature.slice(at + 1);
        expect([changed, keys.verify("viewer", "text", changed)]).toEqual([
          changed,
          changed === signature,
        ]);
      }
    }
    for (const changed of [`${signature}A`, ` ${signature}`, `${signature}=`, `${signature}\n`]) {
      expect(keys.verify("viewer", "text", changed)).toBe(false);
    }
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => !keys.verify("viewer", "text", text)),
    );
  });

  test("after a rotation the former key verifies until no token of it can be good", async () => {
    const keys = await open();
    const signature = keys.sign("preview", "text");
    now += 5000;
    await keys.rotate();
    expect(keys.sign("preview", "text")).not.toBe(signature);
    const restarted = await open();
    for (const ring of [keys, restarted]) {
      now = START + 5000 + LONGEST_TOKEN_SECONDS * 1000 - 1;
      expect(ring.verify("preview", "text", signature)).toBe(true);
      expect(ring.list()).toHaveLength(2);
      now++;
      expect(ring.verify("preview", "text", signature)).toBe(false);
      expect(ring.list()).toHaveLength(1);
    }
    await keys.rotate();
    expect(saved.map(({ retiredAt }) => retiredAt)).toEqual([undefined, new Date(now)]);
  });

  test("rotations one after another keep each key for its own time", async () => {
    const keys = await open();
    const signatures = [keys.sign("viewer", "text")];
    for (let rotation = 0; rotation < 3; rotation++) {
      now += 60_000;
      await keys.rotate();
      signatures.push(keys.sign("viewer", "text"));
    }
    expect(signatures.map((signature) => keys.verify("viewer", "text", signature))).toEqual(
      Array.from({ length: 4 }, () => true),
    );
    now = START + 120_000 + LONGEST_TOKEN_SECONDS * 1000;
    expect(signatures.map((signature) => keys.verify("viewer", "text", signature))).toEqual([
      false,
      false,
      true,
      true,
    ]);
  });

  test("an immediate rotation ends what was signed before", async () => {
    const keys = await open();
    const signature = keys.sign("preview", "text");
    await keys.rotate(true);
    expect(keys.verify("preview", "text", signature)).toBe(false);
    expect(saved).toHaveLength(1);
  });

  test("a rotation that cannot be kept changes nothing", async () => {
    const keys = await open();
    const signature = keys.sign("preview", "text");
    const broken = { ...store, save: () => Promise.reject(new Error("the disk is full")) };
    const ring = await SigningKeys.open(broken, () => now);
    await expect(ring.rotate()).rejects.toThrow("full");
    expect(ring.sign("preview", "text")).toBe(signature);
  });
});
