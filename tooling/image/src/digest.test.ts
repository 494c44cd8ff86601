import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { digestInputs, sumFile } from "./digest.ts";
import { temporaryFolder } from "./testing/temporary-folder.ts";

describe("digestInputs", () => {
  it("does not depend on the order of names", () => {
    expect(digestInputs({ a: 1, b: "2" })).toBe(digestInputs({ b: "2", a: 1 }));
  });

  it("tells apart what merely reads alike", () => {
    const digests = [
      digestInputs({ a: "1", b: "2" }),
      digestInputs({ a: 1, b: "2" }),
      digestInputs({ a: ["1"], b: "2" }),
      digestInputs({ a: "1b2" }),
      digestInputs({ a: ["x", "y"] }),
      digestInputs({ a: ["y", "x"] }),
      digestInputs({ a: ["x,y"] }),
    ];
    expect(new Set(digests).size).toBe(digests.length);
  });
});

describe("sumFile", () => {
  it("sums up a file that is larger than one read, holes included", async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, "file");
    await writeFile(path, "");
    await truncate(path, 3 << 20);
    expect(await sumFile(path)).toEqual({
      size: 3 << 20,
      sha256: "bbd05cf6097ac9b1f89ea29d2542c1b7b67ee46848393895f5a9e43fa1f621e5",
    });
  });
});
