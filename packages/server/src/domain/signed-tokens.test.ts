import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import { type SignedFamilyName, TOKEN_FAMILIES } from "@nullspace/proto/tokens";
import * as fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { SIGNED_FAMILIES } from "../testing/signed-families.js";
import { type Claims, SignedTokens } from "./signed-tokens.js";
import { SigningKeys } from "./signing-keys.js";

let now = Date.parse("2026-01-01T00:00:00Z");
let tokens: SignedTokens;

async function ring(): Promise<SigningKeys> {
  return SigningKeys.open({ load: async () => [], save: async () => undefined }, () => now);
}

beforeAll(async () => {
  tokens = new SignedTokens(await ring(), () => now);
});

/** "ok", or the reason why a token is refused. */
function outcomeOf(family: SignedFamilyName, token: string, place: Claims): string {
  try {
    tokens.open(family, token, place);
    return "ok";
  } catch (error) {
    return error instanceof Fault ? (ErrorReason[error.reason] ?? "?") : String(error);
  }
}

/** Everything that a place can differ in. */
const PLACE = fc.record({
  machine: fc.constantFrom("m1", "m2", "m11"),
  port: fc.constantFrom("80", "8", "080", "8080"),
  path: fc.constantFrom("/a", "/a/", "/b", "/a?b=c"),
  method: fc.constantFrom("GET", "PUT", "POST"),
  transport: fc.constantFrom("http", "websocket"),
  grant: fc.string(),
});

describe("a signed token", () => {
  test("of no family, machine, port, path, method or transport opens another", () => {
    const family = fc.constantFrom(...SIGNED_FAMILIES);
    fc.assert(
      fc.property(family, family, PLACE, PLACE, (made, shown, place, other) => {
        const { token } = tokens.issue(made, place, 60);
        const same = made === shown && JSON.stringify(place) === JSON.stringify(other);
        expect(outcomeOf(shown, token, other)).toBe(same ? "ok" : "TOKEN_INVALID");
        expect(outcomeOf(made, token, place)).toBe("ok");
      }),
      { numRuns: 500 },
    );
  });

  test("does not become another by a change of its prefix", () => {
    for (const made of SIGNED_FAMILIES) {
      const { token } = tokens.issue(made, { machine: "m1" }, 60);
      for (const shown of SIGNED_FAMILIES) {
        const { prefix } = TOKEN_FAMILIES[shown];
        const disguised = prefix + token.slice(TOKEN_FAMILIES[made].prefix.length);
        expect([made, shown, outcomeOf(shown, disguised, { machine: "m1" })]).toEqual([
          made,
          shown,
          made === shown ? "ok" : "TOKEN_INVALID",
        ]);
      }
    }
  });

  test("does not open a place that asks for more than it says", () => {
    const { token } = tokens.issue("preview", { machine: "m1" }, 60);
    expect(outcomeOf("preview", token, { machine: "m1", port: "80" })).toBe("TOKEN_INVALID");
    expect(outcomeOf("preview", token, { toString: "x" })).toBe("TOKEN_INVALID");
    expect(outcomeOf("preview", token, {})).toBe("ok");
  });

  test("is refused with any character changed, and as nonsense", () => {
    const place = { machine: "m1" };
    const { token } = tokens.issue("viewer", place, 60);
    fc.assert(
      fc.property(fc.nat(token.length - 1), fc.string({ maxLength: 2 }), (at, other) => {
        const changed = token.slice(0, at) + other + token.slice(at + 1);
        expect(outcomeOf("viewer", changed, place)).toBe(
          changed === token ? "ok" : "TOKEN_INVALID",
        );
      }),
      { numRuns: 500 },
    );
    fc.assert(
      fc.property(fc.constantFrom(...SIGNED_FAMILIES), fc.string(), (family, text) => {
        expect(outcomeOf(family, text, place)).toBe("TOKEN_INVALID");
        expect(outcomeOf(family, TOKEN_FAMILIES[family].prefix + text, place)).toBe(
          "TOKEN_INVALID",
        );
      }),
    );
  });

  test("of another server is refused", async () => {
    const { token } = new SignedTokens(await ring(), () => now).issue("viewer", {}, 60);
    expect(outcomeOf("viewer", token, {})).toBe("TOKEN_INVALID");
  });

  test("ends with its time, and cannot be made to end later", () => {
    const { token, expiresAt } = tokens.issue("viewer", { machine: "m1" }, 60);
    now = expiresAt.getTime() - 1;
    expect(tokens.open("viewer", token, {})).toEqual({ claims: { machine: "m1" }, expiresAt });
    now++;
    expect(outcomeOf("viewer", token, {})).toBe("TOKEN_EXPIRED");
    const later = JSON.stringify({ expires: now / 1000 + 60, claims: { machine: "m1" } });
    const changed = token.replace(/[^.]+$/, Buffer.from(later).toString("base64url"));
    expect(outcomeOf("viewer", changed, {})).toBe("TOKEN_INVALID");
  });

  test.each([0, -1, 0.5, Number.NaN, 86_401])("is not made for %s seconds", (seconds) => {
    expect(() => tokens.issue("viewer", {}, seconds)).toThrow(Fault);
  });
});
