import { readFileSync } from "node:fs";

/** Version of this program, as its package.json says. */
export const VERSION = readVersion();

function readVersion(): string {
  const text = readFileSync(new URL("../package.json", import.meta.url), "utf8");
  const value: unknown = JSON.parse(text);
  const hasVersion = typeof value === "object" && value !== null && "version" in value;
  return hasVersion ? String(value.version) : "unknown";
}
