import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import type { SshAccess } from "@nullspace/sdk";
import { configFile } from "../configuration.js";
import { clientConfig, FILES, KNOWN_AS } from "./client-config.js";

/** Names the folder of the access that `nullspace ssh proxy` is to use, where it is not the usual one. */
export const FOLDER_VARIABLE = "NULLSPACE_SSH_ACCESS";

/** What is kept for the relay, and to know when to renew. */
export interface Relay {
  /** URL of the server. */
  server: string;
  /** URL of the WebSocket. */
  url: string;
  token: string;
  machineId: string;
  accessId: string;
  /** ISO 8601. */
  createdAt: string;
  /** ISO 8601. */
  expiresAt: string;
}

/** Where the access to a machine is kept that is renewed as needed. */
export function lastingFolder(machine: string): string {
  if (!/^[A-Za-z0-9._-]+$/.test(machine) || machine.startsWith(".")) {
    throw new Error(`${JSON.stringify(machine)} is no id of a machine`);
  }
  return join(dirname(configFile()), "ssh", machine);
}

/** A folder with all that OpenSSH needs to reach one machine; only its owner may enter it. */
export class AccessFolder {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** Opens a folder, and makes it where there is none. */
  static async open(path: string): Promise<AccessFolder> {
    await mkdir(path, { recursive: true, mode: 0o700 });
    return new AccessFolder(path);
  }

  /** Path of ssh's configuration in it. */
  get config(): string {
    return this.#file(FILES.config);
  }

  /** The public part of the key in it, which is made if there is none. The private part never leaves it. */
  async publicKey(): Promise<string> {
    const key = this.#file(FILES.key);
    const made = `${key}-${randomBytes(6).toString("hex")}`;
    try {
      await readFile(key);
    } catch {
      try {
        await keygen(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f", made]);
        // Another run may have made one at the same time: the first of them counts.
        await link(made, key).catch((error: unknown) => {
          if (!hasCode(error, "EEXIST")) throw error;
        });
      } finally {
        await Promise.all([made, `${made}.pub`].map((path) => rm(path, { force: true })));
      }
    }
    return (await keygen(["-y", "-P", "", "-f", key])).trim();
  }

  /** Puts an access into it. */
  async write(access: SshAccess, server: string, commands: Commands): Promise<void> {
    const { user, certificate, knownHosts, relayUrl, relayToken } = access;
    const relay: Relay = {
      server,
      url: relayUrl,
      token: relayToken,
      machineId: access.machineId,
      accessId: access.id,
      createdAt: access.createdAt.toISOString(),
      expiresAt: access.expiresAt.toISOString(),
    };
    await this.#put(FILES.certificate, `${certificate}\n`);
    await this.#put(FILES.knownHosts, `${knownHosts.replace(/^\S+/, KNOWN_AS)}\n`);
    await this.#put(FILES.relay, `${JSON.stringify(relay)}\n`);
    await this.#put(FILES.config, clientConfig({ user, folder: this.path, ...commands }));
  }

  /** What the relay needs; undefined when nothing was written yet. */
  async relay(): Promise<Relay | undefined> {
    let text: string;
    try {
      text = await readFile(this.#file(FILES.relay), "utf8");
    } catch (error) {
      if (hasCode(error, "ENOENT")) return undefined;
      throw error;
    }
    return toRelay(JSON.parse(text));
  }

  async remove(): Promise<void> {
    await rm(this.path, { recursive: true, force: true });
  }

  async #put(name: string, text: string): Promise<void> {
    const temporary = this.#file(`.${name}-${randomBytes(6).toString("hex")}`);
    await writeFile(temporary, text, { mode: 0o600 });
    await rename(temporary, this.#file(name));
  }

  #file(name: string): string {
    return join(this.path, name);
  }
}

/** Host name, and commands of this program, for ssh's configuration. */
export interface Commands {
  host: string;
  proxy: readonly string[];
  renew?: readonly string[];
}

/** The words that run this program. */
export function thisProgram(): string[] {
  const [, program] = process.argv;
  if (program === undefined) throw new Error("this program does not know its own path");
  return [process.execPath, program];
}

async function keygen(args: readonly string[]): Promise<string> {
  try {
    return (await promisify(execFile)("ssh-keygen", args)).stdout;
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
    throw new Error("there is no ssh-keygen here: install the OpenSSH client", { cause: error });
  }
}

function toRelay(value: unknown): Relay {
  const read = (name: keyof Relay): string => {
    const field: unknown =
      typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
    if (typeof field !== "string") throw new Error(`${FILES.relay} is damaged: remove its folder`);
    return field;
  };
  return {
    server: read("server"),
    url: read("url"),
    token: read("token"),
    machineId: read("machineId"),
    accessId: read("accessId"),
    createdAt: read("createdAt"),
    expiresAt: read("expiresAt"),
  };
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
