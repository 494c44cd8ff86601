import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SshAccess } from "@nullspace/sdk";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { AccessFolder, lastingFolder } from "./access-folder.js";

let top: string;
beforeEach(async () => {
  top = await mkdtemp(join(tmpdir(), "access-folder-"));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(top, { recursive: true });
});

const ACCESS: SshAccess = {
  id: "a1",
  machineId: "m1",
  fingerprint: "SHA256:x",
  createdAt: new Date(0),
  expiresAt: new Date(60_000),
  revokedAt: undefined,
  lastUsedAt: undefined,
  useCount: 0,
  user: "user",
  certificate: "ssh-ed25519-cert-v01@openssh.com AAAA",
  knownHosts: "m1 ssh-ed25519 BBBB",
  relayUrl: "ws://localhost/v1/ssh/m1",
  relayToken: "nssh_a1_secret",
};

test("the key is made once, whoever asks at the same time, and only its owner may see it", async () => {
  const folder = await AccessFolder.open(join(top, "a", "b"));
  expect((await stat(folder.path)).mode & 0o777).toBe(0o700);
  const keys = await Promise.all(Array.from({ length: 5 }, () => folder.publicKey()));
  expect(new Set(keys).size).toBe(1);
  expect(keys[0]).toMatch(/^ssh-ed25519 \S+$/);
  expect(await readdir(folder.path)).toEqual(["key"]);
  expect((await stat(join(folder.path, "key"))).mode & 0o777).toBe(0o600);
});

test("what is written is read again, whatever the machine's id", async () => {
  const folder = await AccessFolder.open(top);
  expect(await folder.relay()).toBeUndefined();
  await folder.write(ACCESS, "http://localhost", { host: "m1", proxy: ["proxy"] });
  expect(await folder.relay()).toEqual({
    server: "http://localhost",
    url: ACCESS.relayUrl,
    token: ACCESS.relayToken,
    machineId: "m1",
    accessId: "a1",
    createdAt: "1970-01-01T00:00:00.000Z",
    expiresAt: "1970-01-01T00:01:00.000Z",
  });
  expect(await readFile(join(top, "known_hosts"), "utf8")).toBe("machine ssh-ed25519 BBBB\n");
  for (const name of await readdir(top)) {
    expect((await stat(join(top, name))).mode & 0o777).toBe(0o600);
  }
  expect(await readFile(folder.config, "utf8")).not.toContain("secret");
  await folder.remove();
  await expect(stat(top)).rejects.toThrow(/ENOENT/);
  await AccessFolder.open(top);
});

test("a name of a machine cannot lead elsewhere", () => {
  vi.stubEnv("XDG_CONFIG_HOME", top);
  expect(lastingFolder("m1")).toBe(join(top, "nullspace", "ssh", "m1"));
  for (const name of ["", "..", "../x", "a/b", ".ssh", "a b"]) {
    expect(() => lastingFolder(name)).toThrow("is no id of a machine");
  }
});
