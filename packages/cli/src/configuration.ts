import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { AuthError, DEFAULT_URL } from "@nullspace/sdk";

/** Where a server or a key was found. */
export type Origin = "option" | "environment" | "login" | "this computer's server" | "default";

/** The server and key that a command uses, and where each was found. */
export interface Account {
  url: string;
  apiKey: string;
  urlOrigin: Origin;
  apiKeyOrigin: Origin;
}

/** A place that may name a server, a key, or both. */
interface Source {
  origin: Origin;
  url: string | undefined;
  apiKey: string | undefined;
}

/** Options of every command that talks to a server. */
export interface AccountOptions {
  url?: string;
  apiKey?: string;
}

/** File that `nullspace login` writes. */
export function configFile(): string {
  const base = process.env.XDG_CONFIG_HOME || join(homedir(), ".config");
  return join(base, "nullspace", "config.json");
}

/** File in which this computer's server keeps its operator's key. */
export function credentialsFile(): string {
  return join(process.env.NULLSPACE_HOME || "/var/lib/nullspace", "credentials.json");
}

/**
 * Finds the server and the key: options, then the environment, then what login
 * stored, then this computer's server. A stored key goes only to the server it
 * is for.
 *
 * @throws AuthError when there is no key for the server
 */
export async function resolveAccount(options: AccountOptions): Promise<Account> {
  const environment = process.env;
  const stored = await Promise.all([
    readSource("login", configFile()),
    readSource("this computer's server", credentialsFile()),
  ]);
  const given: Source[] = [
    { origin: "option", url: options.url, apiKey: options.apiKey },
    {
      origin: "environment",
      url: environment.NULLSPACE_API_URL || undefined,
      apiKey: environment.NULLSPACE_API_KEY || undefined,
    },
  ];
  const place = [...given, ...stored].find((source) => source.url !== undefined);
  const url = place?.url ?? DEFAULT_URL;
  const key =
    given.find((source) => source.apiKey !== undefined) ??
    stored.find((source) => source.apiKey !== undefined && isFor(source, url));
  if (key?.apiKey === undefined) {
    throw new AuthError(`there is no API key for ${url}`, {
      remedy: "Run nullspace login, or set NULLSPACE_API_KEY.",
    });
  }
  const urlOrigin = place?.origin ?? "default";
  return { url, apiKey: key.apiKey, urlOrigin, apiKeyOrigin: key.origin };
}

function isFor(source: Source, url: string): boolean {
  if (source.origin === "this computer's server" && isLoopback(url)) return true;
  return originOf(source.url ?? DEFAULT_URL) === originOf(url);
}

function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : url;
}

function isLoopback(url: string): boolean {
  if (!URL.canParse(url)) return false;
  return ["127.0.0.1", "localhost", "[::1]"].includes(new URL(url).hostname);
}

async function readSource(origin: Origin, file: string): Promise<Source> {
  const nothing = { origin, url: undefined, apiKey: undefined };
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    const ignored = ["ENOENT", "ENOTDIR", "EACCES"];
    if (error instanceof Error && "code" in error && ignored.includes(String(error.code))) {
      return nothing;
    }
    throw error;
  }
  const value = parse(text, file);
  const url = "url" in value && typeof value.url === "string" ? value.url : undefined;
  const apiKey = "apiKey" in value && typeof value.apiKey === "string" ? value.apiKey : undefined;
  return { origin, url, apiKey };
}

function parse(text: string, file: string): object {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null) return value;
  } catch (cause) {
    throw new Error(`${file} is not JSON. Repair or remove it.`, { cause });
  }
  throw new Error(`${file} holds no object. Repair or remove it.`);
}
