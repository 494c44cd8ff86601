import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { parsePublicKey, PublicKeyError } from "./public-key.js";

const folder = mkdtempSync(join(tmpdir(), "public-key-"));
afterAll(() => rmSync(folder, { recursive: true }));

let keys = 0;

function makeKey(type: string, bits = ""): { line: string; fingerprint: string; path: string } {
  const path = join(folder, `key${keys++}`);
  const size = bits === "" ? [] : ["-b", bits];
  execFileSync("ssh-keygen", ["-q", "-t", type, ...size, "-N", "", "-C", "me@here", "-f", path]);
  const [, fingerprint = ""] = execFileSync("ssh-keygen", ["-lf", path]).toString().split(" ");
  return { line: readFileSync(`${path}.pub`, "utf8"), fingerprint, path };
}

describe("a public key of OpenSSH's", () => {
  test.each([
    ["ed25519", ""],
    ["rsa", "2048"],
    ["ecdsa", "256"],
    ["ecdsa", "384"],
    ["ecdsa", "521"],
  ])("%s %s is read as ssh-keygen reads it, without its comment", (type, bits) => {
    const { line, fingerprint } = makeKey(type, bits);
    const key = parsePublicKey(line);
    expect(key.fingerprint).toBe(fingerprint);
    expect(`${key.text} me@here\n`).toBe(line);
    expect(parsePublicKey(`  ${line.replace(" ", "\t")}`)).toEqual(key);
  });
});

/** `undefined` for what is refused; throws what nobody should. */
function tryToRead(line: string) {
  try {
    return parsePublicKey(line);
  } catch (error) {
    if (error instanceof PublicKeyError) return undefined;
    throw error;
  }
}

const { path: PRIVATE, line: LINE } = makeKey("ed25519");
const GOOD = LINE.trim();
const [, GOOD_BASE64 = ""] = GOOD.split(" ");

describe("what is no public key is refused", () => {
  test.each([
    ["nothing", ""],
    ["words", "hello world"],
    ["a weak key", makeKey("rsa", "1024").line],
    ["a private key", readFileSync(PRIVATE, "utf8")],
    ["options before it", `command="sh" ${GOOD}`],
    ["a line for known_hosts", `@cert-authority * ${GOOD}`],
    ["two lines", `${GOOD}\n${GOOD}`],
    ["another line behind a NUL", `${GOOD}\0x`],
    ["a kind that is not signed", GOOD.replace("ssh-ed25519", "ssh-dss")],
    ["a certificate", GOOD.replace("ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com")],
    ["a key of another kind than it says", GOOD.replace("ssh-ed25519", "ecdsa-sha2-nistp256")],
    ["a short one", `ssh-ed25519 ${GOOD_BASE64.slice(0, -8)}`],
    ["bytes behind it", `ssh-ed25519 ${GOOD_BASE64}AAAA`],
    ["no base64", `ssh-ed25519 ${"!".repeat(68)}`],
    ["a long one", `ssh-ed25519 ${"A".repeat(20_000)}`],
  ])("%s", (_, line) => {
    expect(() => parsePublicKey(line)).toThrow(PublicKeyError);
  });

  test("and whatever else: what comes back is one line that was understood", () => {
    const blob = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
    const line = fc.oneof(
      fc.string({ maxLength: 300 }),
      blob.map((bytes) => `ssh-ed25519 ${bytes.toString("base64")}`),
      fc.tuple(fc.nat(GOOD.length), fc.string({ maxLength: 5 })).map(([at, text]) => {
        return GOOD.slice(0, at) + text + GOOD.slice(at);
      }),
    );
    fc.assert(
      fc.property(line, (text) => {
        const key = tryToRead(text);
        fc.pre(key !== undefined);
        expect(key.text).toMatch(/^[a-z0-9@.-]+ [A-Za-z0-9+/]+={0,2}$/);
        expect(parsePublicKey(key.text)).toEqual(key);
      }),
      { numRuns: 500 },
    );
  });
});
