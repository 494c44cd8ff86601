import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { AgentConnection, Connection } from "../connection.js";
import { Files } from "../files/files.js";
import { RealAgent } from "../testing/real-agent.js";
import { type Break, Wire } from "../testing/wire.js";

/** Longer runs look into more ways to break. */
const RUNS = Number(process.env["NULLSPACE_PROPERTY_RUNS"] ?? 15);

let agent: RealAgent;
let wire: Wire;
beforeAll(async () => {
  agent = await RealAgent.start();
  wire = await Wire.open(Number(new URL(agent.url).port));
});
afterAll(async () => {
  await wire[Symbol.asyncDispose]();
  await agent[Symbol.asyncDispose]();
});

let local: string;
let remote: string;
beforeEach(async () => {
  [local, remote] = [join(agent.folder, "local"), join(agent.folder, "remote")];
  for (const folder of [local, remote]) {
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder);
  }
});

/** Where frames, messages, parts and blocks begin and end, and everywhere between. */
const place = fc.oneof(fc.nat(200), fc.nat(70_000), fc.nat(2_500_000));
const breaks = (to: Break["to"]) =>
  fc.array(fc.record({ to: fc.constantFrom("server", "client", to), bytes: place }), {
    minLength: 1,
    maxLength: 4,
  });
const size = fc.oneof(fc.nat(10), fc.integer({ min: 1_040_000, max: 1_060_000 }), fc.nat(3e6));

function contentOf(bytes: number): Buffer {
  const block = createHash("sha512").update(String(bytes)).digest();
  return Buffer.concat(Array.from({ length: Math.ceil(bytes / 64) }, () => block)).subarray(
    0,
    bytes,
  );
}

/** A client of its own, whose first connection is the first that breaks. */
async function withFiles(how: Break[], use: (files: Files) => Promise<void>): Promise<void> {
  const connection = new Connection({ url: wire.url, apiKey: "ns_x_y" });
  wire.breaks = [...how];
  try {
    await use(new Files(new AgentConnection(connection, "m1")));
  } finally {
    connection.close();
    wire.breaks = [];
  }
}

test(
  "an upload is whole, whatever bytes its connections break at",
  async () => {
    const property = fc.asyncProperty(size, breaks("server"), async (bytes, how) => {
      const content = contentOf(bytes);
      await writeFile(join(local, "file"), content);
      await withFiles(how, async (files) => {
        const { sha256 } = await files.uploadFile(join(local, "file"), join(remote, "file"));
        expect(sha256).toBe(createHash("sha256").update(content).digest("hex"));
      });
      expect((await readFile(join(remote, "file"))).equals(content)).toBe(true);
      expect(await readdir(remote)).toEqual(["file"]);
    });
    await fc.assert(property, { numRuns: RUNS, seed: 1, endOnFailure: true });
  },
  60_000 + RUNS * 2000,
);

test(
  "a download is whole, whatever bytes its connections break at",
  async () => {
    const property = fc.asyncProperty(size, breaks("client"), async (bytes, how) => {
      const content = contentOf(bytes);
      await writeFile(join(remote, "file"), content);
      await withFiles(how, async (files) => {
        await files.downloadFile(join(remote, "file"), join(local, "file"));
      });
      expect((await readFile(join(local, "file"))).equals(content)).toBe(true);
      expect(await readdir(local)).toEqual(["file"]);
    });
    await fc.assert(property, { numRuns: RUNS, seed: 1, endOnFailure: true });
  },
  60_000 + RUNS * 2000,
);
