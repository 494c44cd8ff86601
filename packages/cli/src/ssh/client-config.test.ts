import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { clientConfig, type ClientConfigParts } from "./client-config.js";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "client-config-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const PARTS: ClientConfigParts = {
  host: "m1",
  user: "user",
  folder: "/home/me/.config/nullspace/ssh/m1",
  proxy: ["/usr/bin/node", "/opt/nullspace/main.js", "ssh", "proxy", "m1"],
};

/** What OpenSSH itself makes of a configuration, by name. */
function readBySsh(parts: ClientConfigParts, host = "m1"): Map<string, string> {
  const file = join(folder, "config");
  writeFileSync(file, clientConfig(parts));
  const lines = execFileSync("ssh", ["-G", "-F", file, host]).toString().trim().split("\n");
  return new Map(
    lines.map((line) => [line.split(" ", 1)[0] ?? "", line.slice(line.indexOf(" ") + 1)]),
  );
}

test("OpenSSH reads what is meant, for this machine only", () => {
  const settings = readBySsh(PARTS);
  expect(Object.fromEntries(settings)).toMatchObject({
    user: "user",
    identityfile: `${PARTS.folder}/key`,
    certificatefile: `${PARTS.folder}/key-cert.pub`,
    userknownhostsfile: `${PARTS.folder}/known_hosts`,
    hostkeyalias: "machine",
    stricthostkeychecking: "true",
    identitiesonly: "yes",
    identityagent: "none",
    forwardagent: "no",
    preferredauthentications: "publickey",
    proxycommand: "/usr/bin/node /opt/nullspace/main.js ssh proxy m1",
  });
  expect(readBySsh(PARTS, "other").get("proxycommand")).toBeUndefined();
});

describe("paths", () => {
  test("of any kind reach OpenSSH and the shell as they are", () => {
    const strange = "/home/it's me/100%h $HOME `id` \\ ü";
    const settings = readBySsh({
      ...PARTS,
      folder: strange,
      proxy: ["printf", "%s|", `${strange}/node`, "m1"],
    });
    expect(settings.get("userknownhostsfile")).toContain("it's me");
    const command = settings.get("proxycommand")?.replaceAll("%%", "%") ?? "";
    const words = execFileSync("sh", ["-c", command]).toString().split("|");
    expect(words).toEqual([`${strange}/node`, "m1", ""]);
  });

  test.each(['/a "b"', "/a\nProxyCommand x", "/a\0", "/a ${HOME}"])(
    "that it cannot hold are refused: %j",
    (path) => {
      expect(() => clientConfig({ ...PARTS, folder: path })).toThrow("cannot hold the path");
      expect(() => clientConfig({ ...PARTS, proxy: [path] })).toThrow("cannot hold the path");
    },
  );
});

test("an access that lasts is renewed before each connection, or nothing of this applies", () => {
  const marker = join(folder, "it's renewed");
  const settings = readBySsh({ ...PARTS, renew: ["touch", marker] });
  expect(settings.get("hostkeyalias")).toBe("machine");
  expect(() => execFileSync("test", ["-e", marker])).not.toThrow();
  expect(readBySsh({ ...PARTS, renew: ["false"] }).get("hostkeyalias")).toBeUndefined();
});
