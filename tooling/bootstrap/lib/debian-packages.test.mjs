import { describe, expect, it } from "vitest";
import { notInstalled } from "./debian-packages.mjs";

describe("notInstalled", () => {
  it("counts only what dpkg has finished installing", () => {
    const output = "cpio installed\nkmod config-files\nzstd half-configured\n";
    expect(notInstalled(["cpio", "kmod", "zstd", "qemu-utils"], output)).toEqual([
      "kmod",
      "zstd",
      "qemu-utils",
    ]);
  });
});
