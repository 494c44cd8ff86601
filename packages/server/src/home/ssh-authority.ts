import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { CertificateRequest, SshAuthority } from "../domain/ssh/authority.js";
import { invalid } from "../domain/limits.js";
import { readOptionalFile, writePrivateFile } from "./files.js";

/** What a certificate allows: a terminal and forwarded ports. Nothing else of what OpenSSH knows. */
const EXTENSIONS = ["permit-pty", "permit-port-forwarding"] as const;
/** ssh-keygen works for some milliseconds. */
const TIMEOUT_MS = 30_000;

/** A certificate authority whose key is a file, and that works with OpenSSH's own ssh-keygen. */
export class OpensshAuthority implements SshAuthority {
  readonly #file: string;
  #publicKey: Promise<string> | undefined;

  /** @param file Private key; made when it is first needed, and readable by its owner only. */
  constructor(file: string) {
    this.#file = file;
  }

  async publicKey(): Promise<string> {
    this.#publicKey ??= this.#open();
    try {
      return await this.#publicKey;
    } catch (error) {
      // ssh-keygen may be installed while we run.
      this.#publicKey = undefined;
      throw error;
    }
  }

  async sign(request: CertificateRequest): Promise<string> {
    await this.publicKey();
    await using folder = await scratchFolder(tmpdir());
    const key = join(folder.path, "key.pub");
    await writeFile(key, `${request.publicKey}\n`);
    const args = ["-q", "-s", this.#file, "-I", request.keyId, "-n", request.principal];
    args.push("-V", `${timeOf(request.validFrom)}:${timeOf(request.validUntil)}`, "-O", "clear");
    for (const extension of EXTENSIONS) args.push("-O", extension);
    try {
      await keygen([...args, key]);
    } catch (error) {
      if (error instanceof Fault) throw error;
      throw invalid(
        "public_key",
        `is not accepted by ssh-keygen: ${error instanceof Error ? error.message : String(error)}`,
        "Make a new one: ssh-keygen -t ed25519.",
      );
    }
    return (await readFile(join(folder.path, "key-cert.pub"), "utf8")).trim();
  }

  async #open(): Promise<string> {
    if ((await readOptionalFile(this.#file)) === undefined) await this.#make();
    const { stdout } = await keygen(["-y", "-P", "", "-f", this.#file]);
    const [type = "", key = ""] = stdout.trim().split(" ");
    return `${type} ${key}`;
  }

  async #make(): Promise<void> {
    await using folder = await scratchFolder(dirname(this.#file));
    const made = join(folder.path, "key");
    await keygen(["-q", "-t", "ed25519", "-N", "", "-C", "nullspace", "-f", made]);
    await writePrivateFile(this.#file, await readFile(made, "utf8"));
  }
}

/** A folder that only we may enter, and that goes with its scope. */
async function scratchFolder(parent: string): Promise<AsyncDisposable & { path: string }> {
  const path = await mkdtemp(join(parent, ".nullspace-ssh-"));
  return { path, [Symbol.asyncDispose]: async () => rm(path, { recursive: true, force: true }) };
}

async function keygen(args: readonly string[]): Promise<{ stdout: string }> {
  // It reads and shows times of the place where it runs.
  const env = { PATH: process.env["PATH"], TZ: "UTC", LC_ALL: "C" };
  try {
    return await promisify(execFile)("ssh-keygen", args, { env, timeout: TIMEOUT_MS });
  } catch (error) {
    if (!(error instanceof Error) || !("code" in error)) throw error;
    if (error.code !== "ENOENT") {
      const said = "stderr" in error && typeof error.stderr === "string" ? error.stderr : "";
      throw new Error(said.trim().split("\n").at(-1) || error.message, { cause: error });
    }
    throw new Fault(ErrorReason.SSH_KEYGEN_MISSING, "this server finds no ssh-keygen", {
      remedy: "Install openssh-client where the server runs.",
      cause: error,
    });
  }
}

/** As ssh-keygen reads it: YYYYMMDDHHMMSS. */
function timeOf(date: Date): string {
  return date.toISOString().slice(0, 19).replaceAll(/\D/g, "");
}
