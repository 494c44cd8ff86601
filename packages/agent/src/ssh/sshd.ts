import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { StateStore } from "../guest/state.js";
import { type GuestHelper, HelperError } from "../helper/guest-helper.js";
import { sshdConfig } from "./sshd-config.js";

/** The machine's host key, which it is given at each adoption. */
const HOST_KEY = "ssh_host_ed25519_key";

/** errno of a port that somebody else has. */
const EADDRINUSE = 98;

/** A public key, or a principal: what can be a line of its own and nothing else. */
const ONE_LINE = /^[\x21-\x7e]+( [\x21-\x7e]+)*$/;

export interface SshdOptions {
  helper: GuestHelper;
  state: StateStore;
  /** Folder of what sshd is told. The helper takes the principals away at each adoption. */
  folder: string;
  /** Folder of OpenSSH's own files, as `/etc/ssh`. */
  etc: string;
  /** Path of OpenSSH's server. */
  sshd: string;
  /** Port of 127.0.0.1; any that is free when 0. */
  port: number;
}

/** Who may log in. */
export interface Admission {
  /** Public key of the authority, as OpenSSH writes it. */
  authority: string;
  /** The only principal whose certificates are accepted. */
  principal: string;
}

/**
 * The machine's OpenSSH server. Nothing of it runs until somebody connects: the
 * guest helper then starts an sshd for that connection alone. So a machine that
 * nobody visits pays nothing, and no fork holds the host key of its parent in memory.
 */
export class Sshd {
  readonly #options: SshdOptions;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: SshdOptions) {
    this.#options = options;
  }

  /**
   * Sees to it that connections are answered, and whom they let in.
   *
   * @returns the public host key, and the port.
   * @throws Fault SSH_UNAVAILABLE when the machine has no OpenSSH or no host key, or the port is taken.
   */
  async prepare(admission: Admission): Promise<{ hostKey: string; port: number }> {
    const turn = this.#last.then(() => this.#prepare(admission));
    this.#last = turn.catch(() => undefined);
    return await turn;
  }

  async #prepare({ authority, principal }: Admission): Promise<{ hostKey: string; port: number }> {
    const { folder, etc, sshd, state } = this.#options;
    const privateKey = join(etc, HOST_KEY);
    if (!existsSync(sshd)) throw missing(sshd, "no OpenSSH server", INSTALL);
    for (const path of [privateKey, `${privateKey}.pub`]) {
      if (!existsSync(path)) throw missing(path, "no SSH host key", MAKE_KEY);
    }
    for (const line of [authority, principal]) {
      if (!ONE_LINE.test(line)) throw new Error(`sshd cannot be told ${JSON.stringify(line)}`);
    }
    const hostKey = readFileSync(`${privateKey}.pub`, "utf8").trim();
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    const config = join(folder, "sshd_config");
    const authorities = join(folder, "authorities");
    const principals = join(folder, "principals");
    const parts = { hostKey: privateKey, authorities, principals };
    // It holds the machine's environment, which is root's to know; the others sshd reads as whom it logs in.
    put(config, 0o600, sshdConfig({ ...parts, envs: state.machine.envs }));
    put(authorities, 0o644, `${authority}\n`);
    put(principals, 0o644, `${principal}\n`);
    return { hostKey, port: await this.#serve(config) };
  }

  async #serve(config: string): Promise<number> {
    const { helper, port, sshd } = this.#options;
    try {
      const [number] = await helper.request("serve", String(port), sshd, "-i", "-f", config);
      return Number(number);
    } catch (error) {
      if (!(error instanceof HelperError) || error.errno !== EADDRINUSE) throw error;
      throw new Fault(
        ErrorReason.SSH_UNAVAILABLE,
        `another program of the machine has its port ${port}`,
        { remedy: `Let that program use another port: \`ss -ltnp\` names it.`, cause: error },
      );
    }
  }
}

/** Writes a file, whole or not at all; leaves one alone that says the same. */
function put(path: string, mode: number, text: string): void {
  if (existsSync(path) && readFileSync(path, "utf8") === text) return;
  const temporary = `${path}.new`;
  writeFileSync(temporary, text, { mode });
  renameSync(temporary, path);
}

const INSTALL = "Install openssh-server in the machine or its template.";
const MAKE_KEY = "Make one in the machine: `sudo ssh-keygen -A`.";

function missing(path: string, what: string, remedy: string): Fault {
  return new Fault(ErrorReason.SSH_UNAVAILABLE, `the machine has ${what}: no ${path}`, {
    remedy,
    details: { missing: path },
  });
}
