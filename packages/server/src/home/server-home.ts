import { randomBytes } from "node:crypto";
import { constants } from "node:fs";
import { access, mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { randomAlphanumeric } from "../domain/random.js";
import { StartError } from "../start-error.js";
import { readOptionalFile, writePrivateFile } from "./files.js";
import { SigningKeyFile } from "./signing-key-file.js";

const KEY_BYTES = 32;

/** `$NULLSPACE_HOME`: what of it the control plane uses. */
export class ServerHome {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /**
   * Makes the folder where it is missing.
   *
   * @throws StartError when it cannot be written.
   */
  static async open(path: string): Promise<ServerHome> {
    try {
      // Others may pass through to what they are allowed to see, but not list it.
      await mkdir(path, { recursive: true, mode: 0o711 });
      await access(path, constants.R_OK | constants.W_OK | constants.X_OK);
    } catch (error) {
      throw new StartError(`cannot write to ${path}`, {
        remedy: "Run as root, or choose a folder of your own with --home or NULLSPACE_HOME.",
        cause: error,
      });
    }
    return new ServerHome(path);
  }

  /** Path of the SQLite database, which only its owner may read. */
  async databaseFile(): Promise<string> {
    const path = join(this.path, "nullspace.db");
    // SQLite gives its other files the mode of this one.
    const file = await open(path, "a", 0o600);
    await file.close();
    return path;
  }

  /** Path of the file that keeps space for the database on its disk. */
  get reserveFile(): string {
    return join(this.path, "nullspace.db.reserve");
  }

  /** Path of the private key that signs access by SSH. */
  get sshAuthorityFile(): string {
    return join(this.path, "ssh-authority");
  }

  /** Path of the credentials that tools on this machine use. */
  get credentialsFile(): string {
    return join(this.path, "credentials.json");
  }

  /** The id that machines' records name this home's host by; made at the first start. */
  async hostId(): Promise<string> {
    const path = join(this.path, "host-id");
    const found = (await readOptionalFile(path))?.trim();
    if (found !== undefined && found !== "") return found;
    const made = `h${randomAlphanumeric(11)}`;
    await writePrivateFile(path, `${made}\n`);
    return made;
  }

  /** What tokens and URLs are signed with. */
  get signingKeys(): SigningKeyFile {
    return new SigningKeyFile(
      join(this.path, "signing-keys.json"),
      join(this.path, "transfer-key"),
    );
  }

  /** The secret that traffic tokens of machines are made with: they last as long as their machines. */
  async trafficKey(): Promise<Buffer> {
    const path = join(this.path, "traffic-key");
    const found = Buffer.from((await readOptionalFile(path)) ?? "", "base64url");
    if (found.length === KEY_BYTES) return found;
    const made = randomBytes(KEY_BYTES);
    await writePrivateFile(path, `${made.toString("base64url")}\n`);
    return made;
  }
}
