import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  cookiesForClient,
  cookiesForGuest,
  cookieValues,
  previewCookie,
  previewCookieName,
} from "./cookies.js";
import { previewHeadersForClient, previewHeadersForGuest } from "./headers.js";
import { mayUpgradeByCookie, mayUseCookie } from "./origin.js";
import { stripParameters } from "./query.js";
import { isNavigation, readVisit } from "./visit.js";

const own = { origin: "http://80-m1.localhost:7070", isSibling: () => false, secure: false };

describe("a request's target", () => {
  test.each([
    ["/", "/", undefined],
    ["/?edge_token=t", "/", "t"],
    ["/a?x=1&edge_token=t&y=%20", "/a?x=1&y=%20", "t"],
    ["/?edge%5Ftoken=t", "/", "t"],
    ["/?edge_token", "/", ""],
    ["/?edge_token=a&edge_token=b", "/", "b"],
    ["/?EDGE_TOKEN=t", "/?EDGE_TOKEN=t", undefined],
    ["/edge_token=t", "/edge_token=t", undefined],
    ["/?%zz=1&edge_token=%zz", "/?%zz=1", "%zz"],
    ["/?a?edge_token=t", "/?a?edge_token=t", undefined],
    ["/?&&a", "/?&&a", undefined],
  ])("%s without the token is %s", (target, stripped, token) => {
    const result = stripParameters(target, ["edge_token"]);
    expect([result.target, result.values.get("edge_token")]).toStrictEqual([stripped, token]);
  });

  test("keeps every other byte, and never holds the token", () => {
    const part = fc.stringMatching(/^[!-"$-~]*$/);
    fc.assert(
      fc.property(part, part, (before, after) => {
        const target = `/?${before}&edge_token=secret-token&${after}`;
        const stripped = stripParameters(target, ["edge_token"]).target;
        expect(stripped).not.toContain("edge_token=secret-token");
      }),
    );
    fc.assert(
      fc.property(part, (query) => {
        fc.pre(!/edge/i.test(query) && !query.includes("%"));
        expect(stripParameters(`/?${query}`, ["edge_token"]).target).toBe(`/?${query}`);
      }),
    );
  });
});

describe("tokens are found", () => {
  const read = (url: string, headers = {}, transport: "http" | "websocket" = "http") => {
    try {
      return readVisit(transport, url, headers, own).tokens;
    } catch (error) {
      return error instanceof Error ? error.message : "";
    }
  };

  test("in one place, a header before the query before cookies", () => {
    const header = { "x-nullspace-preview-proxy-token": "h" };
    const cookie = { cookie: "ns_preview=c" };
    expect(read("/?edge_token=q", { ...header, ...cookie })).toStrictEqual([
      { family: "proxy", token: "h" },
    ]);
    expect(read("/?edge_token=q", cookie)).toStrictEqual([{ family: "url", token: "q" }]);
    expect(read("/", cookie)).toStrictEqual([{ family: "cookie", token: "c" }]);
    expect(read("/", { cookie: 'a=1;ns_preview="c1" ; ns_preview=c2' })).toStrictEqual([
      { family: "cookie", token: "c1" },
      { family: "cookie", token: "c2" },
    ]);
    expect(read("/")).toContain("needs a token");
    expect(read("/?__ns_preview_transport=header", cookie)).toContain("needs a token");
    expect(read("http://evil/", header)).toContain("no path");
    expect(read("*", header)).toContain("no path");
  });

  test("in no cookie of another name", () => {
    for (const cookie of ["ns_preview2=c", "xns_preview=c", "a=ns_preview=c", "ns_preview", ""]) {
      expect(cookieValues(cookie, "ns_preview").filter((value) => value === "c")).toStrictEqual([]);
    }
    expect(cookieValues("ns_preview=c", previewCookieName(true))).toStrictEqual([]);
  });
});

describe("cookies", () => {
  test("are for one host, and marked so where there is TLS", () => {
    const at = new Date(0);
    expect(previewCookie(true, "t", at)).toBe(
      "__Host-ns_preview=t; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax; Secure",
    );
    expect(previewCookie(false, "t", at)).not.toMatch(/Domain|Secure/);
  });

  test("of ours never reach the service, nor come from it", () => {
    const text = fc.stringMatching(/^[ -~]*$/);
    fc.assert(
      fc.property(text, text, (before, after) => {
        const sent = cookiesForGuest(`${before}; ns_preview=secret; NS_PREVIEW=secret; ${after}`);
        fc.pre(!`${before}${after}`.includes("secret"));
        expect(sent ?? "").not.toContain("secret");
      }),
    );
    for (const name of ["ns_preview", "__Host-ns_preview", " NS_Preview ", "__host-NS_PREVIEW"]) {
      expect(cookiesForClient([`${name}=x; Path=/`])).toStrictEqual([]);
    }
  });

  test("of a service stay at its host", () => {
    expect(
      cookiesForClient([
        "a=1; Domain=example.com; Path=/",
        "b=2; DOMAIN = .example.com",
        "c=Domain=x",
      ]),
    ).toStrictEqual(["a=1; Path=/", "b=2", "c=Domain=x"]);
  });
});

describe("a cookie lets in", () => {
  test("what the page itself, or the visitor, asks for", () => {
    expect(mayUseCookie({}, own)).toBe(true);
    expect(mayUseCookie({ origin: own.origin }, own)).toBe(true);
    expect(mayUseCookie({ "sec-fetch-site": "same-origin" }, own)).toBe(true);
    expect(mayUseCookie({ "sec-fetch-site": "none", "sec-fetch-mode": "navigate" }, own)).toBe(
      true,
    );
    expect(mayUpgradeByCookie({ origin: own.origin }, own)).toBe(true);
    expect(mayUpgradeByCookie({ origin: own.origin.toUpperCase() }, own)).toBe(true);
  });

  test("nothing that another origin asks for", () => {
    const origin = fc.oneof(
      fc.webUrl(),
      fc.string(),
      fc.constantFrom("null", "", "http://localhost"),
    );
    fc.assert(
      fc.property(origin, (text) => {
        fc.pre(text.toLowerCase() !== own.origin);
        expect(mayUseCookie({ origin: text }, own)).toBe(false);
        expect(mayUpgradeByCookie({ origin: text }, own)).toBe(false);
      }),
    );
    expect(mayUpgradeByCookie({}, own)).toBe(false);
    expect(mayUpgradeByCookie({ "sec-fetch-site": "same-origin" }, own)).toBe(false);
  });
});

test("only the opening of a page is a navigation", () => {
  expect(isNavigation("GET", { "sec-fetch-mode": "navigate" })).toBe(true);
  expect(isNavigation("GET", { accept: "text/html,*/*" })).toBe(true);
  expect(isNavigation("GET", { accept: "text/html", "sec-fetch-mode": "cors" })).toBe(false);
  expect(isNavigation("POST", { "sec-fetch-mode": "navigate" })).toBe(false);
  expect(isNavigation("GET", { accept: "*/*" })).toBe(false);
});

describe("headers", () => {
  const arrival = { host: "h", secure: true, address: "1.2.3.4", byProxy: false, guestHost: "g" };

  test("of the platform never reach the service", () => {
    const secret = fc.constantFrom(
      "x-nullspace-preview-proxy-token",
      "x-nullspace-traffic-access-token",
      "x-nullspace-anything",
      "nullspace-machine-id",
      "proxy-authorization",
      ":authority",
      "upgrade",
      "transfer-encoding",
    );
    fc.assert(
      fc.property(secret, fc.boolean(), (name, byProxy) => {
        const sent = previewHeadersForGuest({ [name]: "secret" }, { ...arrival, byProxy });
        expect(JSON.stringify(sent)).not.toContain("secret");
      }),
    );
    const key = `ns_${"a".repeat(12)}_${"b".repeat(44)}`;
    const referer = "http://h/?edge_token=nspv_x";
    const sent = previewHeadersForGuest({ authorization: `Bearer ${key}`, referer }, arrival);
    expect(Object.keys(sent)).not.toContain("authorization");
    expect(Object.keys(sent)).not.toContain("referer");
  });

  test("tell the service of the way, and believe no visitor about it", () => {
    const said = { "x-forwarded-for": "6.6.6.6", "x-forwarded-port": "1", forwarded: "for=x" };
    expect(previewHeadersForGuest(said, arrival)).toStrictEqual({
      host: "g",
      "x-forwarded-host": "h",
      "x-forwarded-proto": "https",
      "x-forwarded-for": "1.2.3.4",
    });
    expect(previewHeadersForGuest(said, { ...arrival, byProxy: true })).toStrictEqual({
      host: "g",
      "x-forwarded-for": "6.6.6.6",
      "x-forwarded-port": "1",
    });
  });

  test("of a service come as often as it sends them", () => {
    const raw = ["Link", "a", "link", "b", "Connection", "x-hop", "X-Hop", "1", "X-Own", "2"];
    expect(previewHeadersForClient([...raw, "Set-Cookie", "a=1"])).toStrictEqual({
      link: ["a", "b"],
      "x-own": "2",
      "set-cookie": ["a=1"],
    });
  });
});
