import { type Command, InvalidArgumentError, Option } from "commander";
import type { AccountOptions } from "./configuration.js";

/** Options of every command that talks to a server. */
export interface CommonOptions extends AccountOptions {
  json?: boolean;
}

/** Adds what every command that talks to a server takes. */
export function withCommonOptions(command: Command): Command {
  return command
    .addOption(new Option("--url <url>", "URL of the server"))
    .addOption(new Option("--api-key <key>", "API key"))
    .addOption(new Option("--json", "print JSON, failures too"));
}

/** Collects `name=value` options into an object. */
export function collectPair(
  value: string,
  before: Record<string, string> | undefined,
): Record<string, string> {
  const at = value.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("It must look like name=value.");
  return { ...before, [value.slice(0, at)]: value.slice(at + 1) };
}

/** A whole number, 0 or more. */
export function wholeNumber(value: string): number {
  if (!/^\d{1,15}$/.test(value)) throw new InvalidArgumentError("It must be a whole number.");
  return Number(value);
}

/** A span of time in seconds: `90`, `90s`, `15m`, `2h`, `1d`. */
export function seconds(value: string): number {
  const match = /^(\d{1,9})([smhd]?)$/.exec(value);
  if (match === null) {
    throw new InvalidArgumentError("It must be a span of time such as 90, 90s, 15m, 2h or 1d.");
  }
  const unit = { "": 1, s: 1, m: 60, h: 3600, d: 86_400 }[match[2] ?? ""] ?? 1;
  return Number(match[1]) * unit;
}

/** Number of a process. */
export function processId(value: string): number {
  if (!/^[1-9]\d{0,9}$/.test(value)) throw new InvalidArgumentError("It must be a process id.");
  return Number(value);
}

/** Permission bits in octal: `644`, `0755`. */
export function permissionBits(value: string): number {
  if (!/^[0-7]{3,5}$/.test(value)) {
    throw new InvalidArgumentError("It must be permission bits in octal, such as 644 or 0755.");
  }
  return Number.parseInt(value, 8);
}

/** Collects an option that may be given several times. */
export function collect(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value];
}
