import { createHmac } from "node:crypto";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type SigningKey, SigningKeys } from "./signing-keys.js";
import { FORMER_TRANSFER_KEY, TransferUrls } from "./transfer-urls.js";

let now = Date.parse("2026-01-01T00:00:00Z");
const openRing = (keys: readonly SigningKey[] = []) =>
  SigningKeys.open({ load: async () => keys, save: async () => undefined }, () => now);
const keys = await openRing();
const urls = new TransferUrls(keys, () => now);

const REQUEST = {
  machineId: "m1",
  direction: "download",
  path: "/workspace/a b&c=ü?.txt",
  user: "",
  expiresInSeconds: 60,
} as const;

const REFUSED = ErrorReason[ErrorReason.TRANSFER_URL_INVALID];

/** "ok", or the reason why a URL is refused. */
function outcomeOf(url: string): string | undefined {
  try {
    urls.verify(url);
    return "ok";
  } catch (error) {
    return error instanceof Fault ? ErrorReason[error.reason] : String(error);
  }
}

describe("a transfer URL", () => {
  test("says again what it was made for, whatever the names", () => {
    const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 80 });
    const sound = text.filter((value) => !value.includes("\0"));
    fc.assert(
      fc.property(sound, sound, fc.constantFrom("download", "upload"), (path, user, direction) => {
        const { url, expiresAt } = urls.sign({ ...REQUEST, path, user, direction });
        const { expiresInSeconds: _, ...rest } = REQUEST;
        expect(urls.verify(url)).toEqual({ ...rest, path, user, direction, expiresAt });
      }),
    );
  });

  test("is refused when any character of it is another", () => {
    const { url } = urls.sign(REQUEST);
    // The name before the query is for people only.
    const bound = url.slice(0, "/v1/files/m1".length).length;
    const query = url.indexOf("?");
    for (let at = 0; at < url.length; at++) {
      if (at < bound - 2 || (at >= bound && at <= query)) continue;
      const other = url[at] === "x" ? "y" : "x";
      const changed = url.slice(0, at) + other + url.slice(at + 1);
      expect([at, outcomeOf(changed)]).toEqual([at, REFUSED]);
    }
  });

  test("is refused with a piece missing, and as nonsense", () => {
    const { url } = urls.sign(REQUEST);
    for (const name of ["path", "direction", "expires", "signature"]) {
      const part = new RegExp(`([?&])${name}=[^&]*&?`);
      expect(outcomeOf(url.replace(part, "$1"))).toBe(REFUSED);
    }
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(outcomeOf(`/v1/files/m1/a?${text}`)).toBe(REFUSED);
      }),
    );
    expect(outcomeOf("http://[")).toBe(REFUSED);
  });

  test("of another server, or signed as another family, is refused", async () => {
    const { url } = new TransferUrls(await openRing(), () => now).sign(REQUEST);
    expect(outcomeOf(url)).toBe(REFUSED);
    const own = urls.sign(REQUEST);
    const text = JSON.stringify([
      "nullspace-transfer-1",
      "m1",
      "download",
      REQUEST.path,
      "",
      own.expiresAt.getTime(),
    ]);
    const forged = (signature: string) =>
      outcomeOf(own.url.replace(/signature=.*/, `signature=nstu_${signature}`));
    expect(forged(keys.sign("transfer-url", text))).toBe("ok");
    expect(forged(keys.sign("preview", text))).toBe(REFUSED);
  });

  test("that was signed before there was a ring of keys is good until its time is over", async () => {
    const secret = Buffer.alloc(32, 7);
    const expiresAt = now + 60_000;
    const text = JSON.stringify(["nullspace-transfer-1", "m1", "download", "/a", "", expiresAt]);
    const signature = createHmac("sha256", secret).update(text).digest("base64url");
    const url = `/v1/files/m1/a?path=%2Fa&direction=download&expires=${expiresAt / 1000}&signature=${signature}`;
    expect(outcomeOf(url)).toBe(REFUSED);
    const at = new Date(now);
    const former = { id: FORMER_TRANSFER_KEY, secret, createdAt: at, retiredAt: at };
    const ring = await openRing([former]);
    const upgraded = new TransferUrls(ring, () => now);
    expect(upgraded.verify(url)).toMatchObject({ machineId: "m1", path: "/a" });
    expect(() => upgraded.verify(url.replace("m1", "m2"))).toThrow(Fault);
    await ring.rotate(true);
    expect(() => upgraded.verify(url)).toThrow(Fault);
  });

  test("ends with its time, and cannot be made to end later", () => {
    const { url, expiresAt } = urls.sign(REQUEST);
    now = expiresAt.getTime() - 1;
    expect(urls.verify(url)).toMatchObject({ machineId: "m1" });
    now = expiresAt.getTime();
    expect(outcomeOf(url)).toBe("TRANSFER_URL_EXPIRED");
    const later = url.replace(/expires=\d+/, `expires=${expiresAt.getTime() / 1000 + 60}`);
    expect(outcomeOf(later)).toBe(REFUSED);
  });

  test.each([
    { path: "" },
    { path: "a\0b" },
    { path: "a".repeat(4097) },
    { user: "a".repeat(257) },
    { expiresInSeconds: 59 },
    { expiresInSeconds: 86_401 },
  ])("is not made for %o", (wrong) => {
    expect(() => urls.sign({ ...REQUEST, ...wrong })).toThrow(Fault);
  });
});
