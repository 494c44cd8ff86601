import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  checkMaskedHost,
  isPreviewPort,
  parsePreviewHost,
  parsePreviewSite,
  previewHost,
  previewOrigin,
  previewWebsocketOrigin,
} from "./preview-address.js";

const ID = `m${"a1".repeat(9)}z`;
const site = { domain: "preview.example.com", secure: true, port: 443 };

describe("a site", () => {
  test.each([
    ["localhost", "localhost", false, 7070],
    ["Preview.Example.COM", "preview.example.com", false, 7070],
    ["https://preview.example.com", "preview.example.com", true, 443],
    ["https://p.example:8443/", "p.example", true, 8443],
    ["http://localhost:8080", "localhost", false, 8080],
  ])("is read from %s", (text, domain, secure, port) => {
    const own = { secure: false, port: 7070 };
    expect(parsePreviewSite(text, own)).toStrictEqual({ domain, secure, port });
  });

  test.each([
    "",
    ".",
    "a..b",
    "-a",
    "a b",
    "localhost:80",
    "ftp://a",
    "https://a/b",
    "https://a?b",
    "https://u:p@a",
    "*.example.com",
    "a_b.example",
    "x".repeat(300),
  ])("is not read from %j", (text) => {
    expect(parsePreviewSite(text, { secure: false, port: 1 })).toBeUndefined();
  });
});

describe("a host", () => {
  test.each([
    [`3000-${ID}.preview.example.com`, 3000],
    [`3000-${ID.toUpperCase()}.PREVIEW.example.com`, 3000],
    [`1-${ID}.preview.example.com:8443`, 1],
    [`65535-${ID}.preview.example.com.`, 65_535],
  ])("%s names a preview", (host, port) => {
    expect(parsePreviewHost(site, host)).toStrictEqual({ machineId: ID, port });
  });

  test.each([
    `0-${ID}`,
    `03000-${ID}`,
    `65536-${ID}`,
    `99999-${ID}`,
    `-${ID}`,
    `3000-${ID}a`,
    `3000-${ID.slice(1)}`,
    `3000-x${ID.slice(1)}`,
    `3000-${ID}.x`,
    `x.3000-${ID}`,
    `3000_${ID}`,
    "a",
    "",
  ])("%j below the domain is no preview's", (label) => {
    expect(parsePreviewHost(site, `${label}.preview.example.com`)).toBe("none");
  });

  test.each([
    undefined,
    "",
    "preview.example.com",
    "example.com",
    `3000-${ID}.preview.example.com.evil.example`,
    `3000-${ID}.preview.example.co`,
    `3000-${ID}-preview.example.com`,
    "127.0.0.1:7070",
    "[::1]:7070",
  ])("%j is another's", (host) => {
    expect(parsePreviewHost(site, host)).toBeUndefined();
  });

  test("is read as it is written, and nothing else is", () => {
    const place = fc.record({
      machineId: fc.stringMatching(/^m[a-z0-9]{19}$/),
      port: fc.integer({ min: 1, max: 65_535 }),
    });
    fc.assert(
      fc.property(place, fc.integer({ min: 1, max: 65_535 }), fc.boolean(), (it, port, secure) => {
        const at = { ...site, port, secure };
        expect(parsePreviewHost(at, previewHost(at, it))).toEqual(it);
        expect(new URL(previewOrigin(at, it)).origin).toBe(previewOrigin(at, it));
        expect(new URL(previewWebsocketOrigin(at, it)).host).toBe(previewHost(at, it));
      }),
    );
    fc.assert(
      fc.property(fc.string(), (text) => {
        const found = parsePreviewHost(site, text);
        if (typeof found !== "object") return;
        const host = previewHost(site, found);
        expect(
          text
            .toLowerCase()
            .replace(/:\d{0,5}$/, "")
            .replace(/\.$/, ""),
        ).toBe(host);
      }),
    );
  });
});

test("ports of SSH and of desktops are none of previews", () => {
  const refused = Array.from({ length: 65_537 }, (_, port) => port).filter(
    (port) => !isPreviewPort(port),
  );
  expect(refused).toStrictEqual([
    0,
    22,
    ...Array.from({ length: 100 }, (_, index) => 5900 + index),
    65_536,
  ]);
});

test.each(["a b", "a\r\nx: y", "a/b", "a@b", "${PORTS}", "x".repeat(256), "\u0000"])(
  "%j is no host to show to services",
  (host) => {
    expect(() => checkMaskedHost(host)).toThrow("is no host");
  },
);

test.each(["", "localhost:${PORT}", "[::1]:${PORT}", "app.example"])("%j is one", (host) => {
  expect(() => checkMaskedHost(host)).not.toThrow();
});
