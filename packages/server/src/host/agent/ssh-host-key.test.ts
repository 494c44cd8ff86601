import { createPublicKey, verify, sign, createPrivateKey } from "node:crypto";
import { expect, test } from "vitest";
import { makeSshHostKey } from "./ssh-host-key.js";

/** Reads what RFC 4251 calls strings, one after the other. */
function fieldsOf(bytes: Buffer): Buffer[] {
  const fields: Buffer[] = [];
  for (let at = 0; at + 4 <= bytes.length;) {
    const length = bytes.readUInt32BE(at);
    fields.push(bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return fields;
}

test("both parts of a host key are of one key, in OpenSSH's form", () => {
  const { privateKey, publicKey } = makeSshHostKey();
  const [type, text = ""] = publicKey.trimEnd().split(" ");
  expect(type).toBe("ssh-ed25519");
  const publicBlob = Buffer.from(text, "base64");
  const [, point = Buffer.alloc(0)] = fieldsOf(publicBlob);

  const lines = privateKey.trimEnd().split("\n");
  expect([lines.at(0), lines.at(-1)]).toEqual([
    "-----BEGIN OPENSSH PRIVATE KEY-----",
    "-----END OPENSSH PRIVATE KEY-----",
  ]);
  const blob = Buffer.from(lines.slice(1, -1).join(""), "base64");
  const magic = Buffer.from("openssh-key-v1\0");
  expect(blob.subarray(0, magic.length)).toEqual(magic);
  const [cipher, kdf, options] = fieldsOf(blob.subarray(magic.length));
  expect([cipher, kdf, options].map(String)).toEqual(["none", "none", ""]);
  const headers = [cipher, kdf, options].reduce((sum, part) => sum + 4 + (part?.length ?? 0), 0);
  const counted = blob.subarray(magic.length + headers);
  expect(counted.readUInt32BE(0)).toBe(1);
  const [storedPublic, secret = Buffer.alloc(0)] = fieldsOf(counted.subarray(4));
  expect(storedPublic).toEqual(publicBlob);
  expect(secret.length % 8).toBe(0);
  expect(secret.readUInt32BE(0)).toBe(secret.readUInt32BE(4));
  const [, itsPoint, pair = Buffer.alloc(0)] = fieldsOf(secret.subarray(8));
  expect(itsPoint).toEqual(point);
  expect(pair.subarray(32)).toEqual(point);

  const jwk = { kty: "OKP", crv: "Ed25519", x: point.toString("base64url") };
  const d = pair.subarray(0, 32).toString("base64url");
  const key = createPrivateKey({ key: { ...jwk, d }, format: "jwk" });
  const message = Buffer.from("hello");
  const verifier = createPublicKey({ key: jwk, format: "jwk" });
  expect(verify(null, message, verifier, sign(null, message, key))).toBe(true);
});

test("no two host keys are alike", () => {
  const keys = Array.from({ length: 20 }, () => makeSshHostKey());
  expect(new Set(keys.map(({ privateKey }) => privateKey)).size).toBe(20);
  expect(new Set(keys.map(({ publicKey }) => publicKey)).size).toBe(20);
});
