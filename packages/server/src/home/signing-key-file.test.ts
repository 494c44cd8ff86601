import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { SigningKeys } from "../domain/signing-keys.js";
import { StartError } from "../start-error.js";
import { SigningKeyFile } from "./signing-key-file.js";

let folder: string;
let path: string;
let file: SigningKeyFile;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "signing-keys-"));
  path = join(folder, "signing-keys.json");
  file = new SigningKeyFile(path, join(folder, "transfer-key"));
  return () => rmSync(folder, { recursive: true });
});

describe("the file of signing keys", () => {
  test("is for its owner only, and reads back as it was written", async () => {
    const keys = await SigningKeys.open(file);
    await keys.rotate();
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(await file.load()).toEqual(keys.list());
    const signature = keys.sign("preview", "text");
    expect((await SigningKeys.open(file)).verify("preview", "text", signature)).toBe(true);
  });

  test("takes over the key there was before", async () => {
    const secret = Buffer.alloc(32, 7);
    writeFileSync(join(folder, "transfer-key"), `${secret.toString("base64url")}\n`);
    const keys = await SigningKeys.open(file);
    expect(keys.list().map(({ id, secret: own }) => [id, Buffer.from(own)])[1]).toEqual([
      "transfer",
      secret,
    ]);
    expect(readdirSync(folder)).toEqual(["signing-keys.json"]);
    expect((await SigningKeys.open(file)).list()).toHaveLength(2);
  });

  test.each(["", "{", "{}", "[1]", '[{"id":"a"}]', '[{"id":"a","secret":"AAAA"}]'])(
    "that holds %s is refused, and kept as it is",
    async (content) => {
      writeFileSync(path, content);
      await expect(SigningKeys.open(file)).rejects.toThrow(StartError);
      expect(readFileSync(path, "utf8")).toBe(content);
    },
  );
});
