import type { FileSum } from "./digest.ts";

/** What a stage leaves beside its result, as JSON. */
export interface StageRecord {
  /** What the inputs turned into, such as versions of packages. */
  resolved: string[];
  /** Checksums of the files that go into an image. */
  files: Record<string, FileSum>;
}

/** Reads a record; `undefined` if it is not one, as after a change of its format. */
export function parseStageRecord(text: string): StageRecord | undefined {
  const value = parseJson(text);
  if (!isObject(value) || !isObject(value["files"]) || !Array.isArray(value["resolved"])) {
    return undefined;
  }
  const resolved: string[] = [];
  for (const line of value["resolved"]) {
    if (typeof line !== "string") return undefined;
    resolved.push(line);
  }
  const files: Record<string, FileSum> = {};
  for (const [name, sum] of Object.entries(value["files"])) {
    if (!isObject(sum)) return undefined;
    const { size, sha256 } = sum;
    if (typeof size !== "number" || typeof sha256 !== "string") return undefined;
    files[name] = { size, sha256 };
  }
  return { resolved, files };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
