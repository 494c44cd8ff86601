import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Scope } from "@nullspace/proto";
import { beforeEach, describe, expect, test } from "vitest";
import { Keys } from "../domain/keys.js";
import { DEFAULT_PROJECT } from "../domain/project.js";
import { openDatabase } from "../store/database.js";
import { SqlKeyStore } from "../store/keys.js";
import { ensureOperatorCredentials } from "./operator-credentials.js";

const URL = "http://127.0.0.1:7070";
const MAKER = { keyId: "", projectId: DEFAULT_PROJECT, scopes: [Scope.ADMIN] };

let file: string;
let keys: Keys;

beforeEach(async () => {
  const folder = mkdtempSync(join(tmpdir(), "credentials-"));
  file = join(folder, "credentials.json");
  const database = await openDatabase(":memory:", () => undefined);
  keys = new Keys(new SqlKeyStore(database));
  return async () => {
    await database.destroy();
    rmSync(folder, { recursive: true });
  };
});

async function scopesOf(apiKey: string): Promise<readonly Scope[]> {
  return (await keys.authenticate(`Bearer ${apiKey}`)).scopes;
}

describe("the operator's key", () => {
  test("is made once, for its owner only, and may do everything", async () => {
    const apiKey = await ensureOperatorCredentials(file, keys, URL);
    expect(await ensureOperatorCredentials(file, keys, URL)).toBe(apiKey);
    expect(JSON.parse(readFileSync(file, "utf8"))).toEqual({ url: URL, apiKey });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(await scopesOf(apiKey)).toEqual([Scope.ADMIN]);
  });

  test("from before there were scopes gets those of an operator", async () => {
    const request = { name: "local operator", projectId: "", scopes: [Scope.PROJECT] };
    const { secret } = await keys.create(MAKER, request);
    writeFileSync(file, JSON.stringify({ url: URL, apiKey: secret }));
    expect(await ensureOperatorCredentials(file, keys, URL)).toBe(secret);
    expect(await scopesOf(secret)).toEqual([Scope.ADMIN]);
  });

  test("that was revoked, or is none, is replaced", async () => {
    const former = await ensureOperatorCredentials(file, keys, URL);
    await keys.revoke(MAKER, former.split("_")[1] ?? "");
    const apiKey = await ensureOperatorCredentials(file, keys, URL);
    expect(apiKey).not.toBe(former);
    writeFileSync(file, "{");
    expect(await ensureOperatorCredentials(file, keys, URL)).not.toBe(apiKey);
  });
});
