import { isIP } from "node:net";
import { totalmem } from "node:os";
import { ProjectLimitsSchema } from "@nullspace/proto";
import { InvalidArgumentError } from "commander";
import type { ProjectLimits } from "./domain/project.js";

/** Where the server keeps everything unless told otherwise. */
export const DEFAULT_HOME = "/var/lib/nullspace";
/** Where it listens unless told otherwise. */
export const DEFAULT_HOST = "127.0.0.1";
export const DEFAULT_PORT = 7070;
/** Browsers resolve every name below it to this computer. */
export const DEFAULT_PREVIEW_DOMAIN = "localhost";
export const DEFAULT_MAX_MACHINES = 1000;
/** How long the record of an ended machine is kept, in days. */
export const DEFAULT_KEEP_DAYS = 7;
/** How long the audit trail is kept, in days. */
export const DEFAULT_KEEP_AUDIT_DAYS = 90;
/** How long calls in progress may take to finish when the server stops, in milliseconds. */
export const GRACE_MS = 10_000;

export const LOG_LEVELS = ["trace", "debug", "info", "warn", "error", "silent"] as const;

/** Memory for all machines together unless told otherwise, in MiB: what the host has. */
export function defaultMaxMemoryMb(): number {
  return Math.floor(totalmem() / (1 << 20));
}

/** Reads a whole number from the command line. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Give a whole number from ${min} to ${max}.`);
  };
}

/** Limits of a project as they are named on the command line, by their names in `project.proto`. */
const LIMIT_NAMES: ReadonlyMap<string, string> = new Map(
  Object.values(ProjectLimitsSchema.field).map(({ name, localName }) => [
    name.replaceAll("_", "-"),
    localName,
  ]),
);

/** Reads "machines=10" from the command line, beside those given before. */
export function projectLimit(text: string, former: ProjectLimits): ProjectLimits {
  const [, entry = "", count] = /^([a-z-]+)=(\d{1,9})$/.exec(text) ?? [];
  const name = LIMIT_NAMES.get(entry);
  if (name !== undefined) return { ...former, [name]: Number(count) };
  const names = [...LIMIT_NAMES.keys()].join(", ");
  throw new InvalidArgumentError(`Give a limit and a number, as in machines=10. Limits: ${names}.`);
}

const MAX_POOL = 100;

/** Reads "template=n" from the command line, beside those given before. */
export function poolEntry(
  text: string,
  former: ReadonlyMap<string, number>,
): ReadonlyMap<string, number> {
  const [, entry, count] = /^([^=]+)=(\d{1,3})$/.exec(text) ?? [];
  if (entry !== undefined && Number(count) <= MAX_POOL) {
    return new Map([...former, [entry, Number(count)]]);
  }
  throw new InvalidArgumentError(`Give a template and a number up to ${MAX_POOL}, as in base=2.`);
}

/** Reads "192.0.2.1", "192.0.2.1:5353" or "[2001:db8::1]:5353" from the command line, beside those given before. */
export function resolver(text: string, former: readonly string[]): readonly string[] {
  const [, bracketed, plain] = /^(?:\[([^\]]+)\]:\d{1,5}|([\d.]+):\d{1,5})$/.exec(text) ?? [];
  if (isIP(bracketed ?? plain ?? text) !== 0) return [...former, text];
  throw new InvalidArgumentError("Give an address, as in 192.0.2.1 or 192.0.2.1:5353.");
}
