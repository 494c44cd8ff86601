import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { TransferUrls } from "./transfer-urls.js";

const KEY = Buffer.alloc(32, 7);
let now = Date.parse("2026-01-01T00:00:00Z");
const urls = new TransferUrls(KEY, () => now);

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

  test("of another key is refused", () => {
    const { url } = new TransferUrls(Buffer.alloc(32, 8), () => now).sign(REQUEST);
    expect(outcomeOf(url)).toBe(REFUSED);
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
