import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findToken, REDACTED, redactSecrets } from "./redaction.js";
import { TOKEN_FAMILIES } from "./token-families.js";

const word = (length: number) => fc.stringMatching(new RegExp(`^[a-z0-9]{${length}}$`));

/** A token of every family in the table, also of those that were added last. */
const TOKEN = fc.oneof(
  ...Object.values(TOKEN_FAMILIES).map(({ prefix, kind }) => {
    if (kind === "random") {
      return fc.tuple(word(12), word(44)).map(([id, secret]) => ({
        token: `${prefix}${id}_${secret}`,
        secret,
      }));
    }
    return fc.tuple(word(8), word(43), word(30)).map(([id, secret, payload]) => ({
      token: `${prefix}${id}.${secret}.${payload}`,
      secret,
    }));
  }),
);

describe("redaction", () => {
  test("hides a token of every family wherever it stands", () => {
    const before = fc.constantFrom("", " ", '"', "=", ":", "(", "/", "%3D", "\\n", "Bearer ", "ü");
    fc.assert(
      fc.property(TOKEN, fc.string(), before, fc.string(), ({ token, secret }, start, at, end) => {
        const text = `${start} ${at}${token} ${end}`;
        expect(findToken(text)).toBeGreaterThanOrEqual(0);
        const shown = redactSecrets(text);
        expect(shown).not.toContain(secret);
        expect(findToken(shown)).toBe(-1);
        expect(shown).toContain(REDACTED);
      }),
      { numRuns: 1000 },
    );
  });

  test("hides a token that was cut off", () => {
    fc.assert(
      fc.property(TOKEN, fc.nat(12), ({ token, secret }, cut) => {
        const part = token.slice(0, token.length - cut);
        expect(redactSecrets(`got ${part}`)).not.toContain(secret.slice(0, 8));
      }),
    );
  });

  test("hides nothing twice, and leaves other texts alone", () => {
    fc.assert(
      fc.property(TOKEN, ({ token }) => {
        const once = redactSecrets(`a ${token} Authorization: Bearer ${token}`);
        expect(redactSecrets(once)).toBe(once);
      }),
    );
    for (const text of [
      "",
      "__ns_preview_transport=header",
      "ns_handle_error and nssh_module",
      "machine m0123456789abcdefghi is running",
      '{"signature":true}',
      "The bearer came late",
    ]) {
      expect([text, redactSecrets(text)]).toEqual([text, text]);
    }
  });

  test("keeps the id of an API key", () => {
    expect(redactSecrets(`ns_abcdefghijkl_${"x".repeat(44)}`)).toBe(`ns_abcdefghijkl_${REDACTED}`);
  });

  test.each([
    "/v1/files/m1/a?path=a&signature=c2VjcmV0LXNlY3JldA",
    "http://other/?next=https%3A%2F%2Fh%2F%3Fedge_token%3Dc2VjcmV0LXNlY3JldA%26a",
    "https://8080-m1.localhost/?edge_token=a%2Bc2VjcmV0LXNlY3JldA",
    "https://8080-m1.localhost/?edge_token=c2VjcmV0LXNlY3JldA&a=b",
    "x-nullspace-preview-proxy-token: c2VjcmV0LXNlY3JldA",
    '{"x-nullspace-traffic-access-token":"c2VjcmV0LXNlY3JldA"}',
    "Authorization: Bearer c2VjcmV0LXNlY3JldA",
  ])("hides the secret of %s", (text) => {
    expect(redactSecrets(text)).not.toContain("c2VjcmV0");
    expect(redactSecrets(text)).toContain(REDACTED);
  });
});
