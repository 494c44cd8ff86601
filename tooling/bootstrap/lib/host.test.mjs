import { describe, expect, it } from "vitest";
import { isDebian } from "./host.mjs";

describe("isDebian", () => {
  it("knows Debian and what is made from it", () => {
    expect(isDebian('PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\n')).toBe(true);
    expect(isDebian('ID=ubuntu\nID_LIKE="debian"\n')).toBe(true);
    expect(isDebian('ID=mint\nID_LIKE="ubuntu debian"\n')).toBe(true);
  });

  it("knows others", () => {
    expect(isDebian("")).toBe(false);
    expect(isDebian('ID=fedora\nNAME="not debian"\n')).toBe(false);
    expect(isDebian("ID=debianish\nVERSION_ID=12\n")).toBe(false);
  });
});
