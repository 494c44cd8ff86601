import { generateKeyPairSync, randomBytes } from "node:crypto";

const TYPE = "ssh-ed25519";
const LINE = 70;

/** A machine's SSH host key, as OpenSSH keeps one. */
export interface SshHostKey {
  /** Of the private key's file. */
  privateKey: string;
  /** Of the `.pub` beside it. */
  publicKey: string;
}

/**
 * Makes a new Ed25519 host key. Here, not in the guest: `ssh-keygen` there would read 5 MB of
 * programs and libraries into the memory of every machine, and take longer than all the rest of
 * its start, for a key that few ever ask for.
 */
export function makeSshHostKey(): SshHostKey {
  const { privateKey } = generateKeyPairSync("ed25519");
  const { d = "", x = "" } = privateKey.export({ format: "jwk" });
  const [seed, point] = [Buffer.from(d, "base64url"), Buffer.from(x, "base64url")];
  const publicBlob = Buffer.concat([field(TYPE), field(point)]);
  // Tells OpenSSH whether it decrypted a key rightly; it writes it also where nothing is encrypted.
  const check = randomBytes(4);
  const secret = padded(
    Buffer.concat([
      check,
      check,
      field(TYPE),
      field(point),
      field(Buffer.concat([seed, point])),
      field(""),
    ]),
  );
  const blob = Buffer.concat([
    Buffer.from("openssh-key-v1\0"),
    field("none"),
    field("none"),
    field(""),
    uint32(1),
    field(publicBlob),
    field(secret),
  ]);
  const lines = blob.toString("base64").match(new RegExp(`.{1,${LINE}}`, "g")) ?? [];
  return {
    privateKey: [
      "-----BEGIN OPENSSH PRIVATE KEY-----",
      ...lines,
      "-----END OPENSSH PRIVATE KEY-----",
      "",
    ].join("\n"),
    publicKey: `${TYPE} ${publicBlob.toString("base64")}\n`,
  };
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Bytes with their length before them, as in RFC 4251. */
function field(value: string | Buffer): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint32(bytes.length), bytes]);
}

/** With 1, 2, 3... up to a whole number of blocks of eight bytes. */
function padded(bytes: Buffer): Buffer {
  const count = (8 - (bytes.length % 8)) % 8;
  return Buffer.concat([
    bytes,
    Buffer.from(Array.from({ length: count }, (_, index) => index + 1)),
  ]);
}
