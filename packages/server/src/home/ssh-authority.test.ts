import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ErrorReason } from "@nullspace/proto";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { OpensshAuthority } from "./ssh-authority.js";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "authority-"));
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true });
});

const file = () => join(folder, "ssh-authority");

function request(publicKey: string) {
  return {
    publicKey,
    principal: "m1",
    keyId: "m1/a1",
    validFrom: new Date("2030-01-01T00:00:00Z"),
    validUntil: new Date("2030-01-01T01:00:05Z"),
  };
}

function userKey(): string {
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, "user")]);
  return readFileSync(join(folder, "user.pub"), "utf8").trim();
}

test("is made once, readable by its owner only, and leaves nothing beside it", async () => {
  const publicKey = await new OpensshAuthority(file()).publicKey();
  expect(publicKey).toMatch(/^ssh-ed25519 [A-Za-z0-9+/=]+$/);
  expect((statSync(file()).mode & 0o777).toString(8)).toBe("600");
  expect(readdirSync(folder)).toEqual(["ssh-authority"]);
  expect(await new OpensshAuthority(file()).publicKey()).toBe(publicKey);
});

test("signs for one principal, and for a terminal and ports alone, in UTC whatever the place", async () => {
  vi.stubEnv("TZ", "Asia/Kolkata");
  const authority = new OpensshAuthority(file());
  const certificate = await authority.sign(request(userKey()));
  writeFileSync(join(folder, "cert.pub"), `${certificate}\n`);
  const env = { ...process.env, TZ: "UTC" };
  const shown = execFileSync("ssh-keygen", ["-L", "-f", join(folder, "cert.pub")], { env });
  const lines = shown
    .toString()
    .split("\n")
    .map((line) => line.trim());
  writeFileSync(join(folder, "ca.pub"), await authority.publicKey());
  const [, fingerprint] = execFileSync("ssh-keygen", ["-lf", join(folder, "ca.pub")])
    .toString()
    .split(" ");
  expect(lines[3]).toContain(fingerprint);
  expect(lines.slice(4)).toEqual([
    'Key ID: "m1/a1"',
    "Serial: 0",
    "Valid: from 2030-01-01T00:00:00 to 2030-01-01T01:00:05",
    "Principals:",
    "m1",
    "Critical Options: (none)",
    "Extensions:",
    "permit-port-forwarding",
    "permit-pty",
    "",
  ]);
});

test("says what is wrong with a key that ssh-keygen does not take", async () => {
  const signing = new OpensshAuthority(file()).sign(request("ssh-ed25519 AAAA"));
  await expect(signing).rejects.toMatchObject({ reason: ErrorReason.INVALID_ARGUMENT });
});

test("names what is missing, and works as soon as it is there", async () => {
  const authority = new OpensshAuthority(file());
  vi.stubEnv("PATH", folder);
  await expect(authority.publicKey()).rejects.toMatchObject({
    reason: ErrorReason.SSH_KEYGEN_MISSING,
  });
  vi.unstubAllEnvs();
  await expect(authority.publicKey()).resolves.toMatch(/^ssh-ed25519 /);
});
