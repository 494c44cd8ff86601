import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const HOST_KEY = /^ssh_host_.*_key(\.pub)?$/;

/** The files that say which machine this is, below a root: "/" in a machine, a scratch folder in tests. */
export class GuestIdentity {
  readonly #root: string;
  readonly #hostnameFile: string;

  /** @param hostnameFile what sets the kernel's host name. */
  constructor(root: string, hostnameFile: string) {
    this.#root = root;
    this.#hostnameFile = hostnameFile;
  }

  /**
   * Makes the files those of a machine: machine-id, host name; and removes the
   * SSH host keys of whoever this was before.
   */
  renew(machineId: string, hostname: string): void {
    const id = `${systemId("machine", machineId)}\n`;
    this.#replace("etc/machine-id", id, 0o444);
    if (existsSync(this.#path("var/lib/dbus"))) this.#replace("var/lib/dbus/machine-id", id, 0o444);
    this.#replace("etc/hostname", `${hostname}\n`, 0o644);
    this.#replace("etc/hosts", hosts(this.#read("etc/hosts"), hostname), 0o644);
    writeFileSync(this.#hostnameFile, hostname);
    for (const path of this.#hostKeys()) rmSync(path, { force: true });
  }

  /** Whether the guest is this machine, as far as can be read back. */
  matches(machineId: string, hostname: string): boolean {
    return (
      this.#read("etc/machine-id") === `${systemId("machine", machineId)}\n` &&
      readFileSync(this.#hostnameFile, "utf8").trim() === hostname
    );
  }

  /** A boot id of this machine and generation, as the kernel writes its own. */
  bootId(machineId: string, generation: bigint): string {
    const id = systemId("boot", `${machineId} ${generation}`);
    return id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  }

  #hostKeys(): string[] {
    const folder = this.#path("etc/ssh");
    if (!existsSync(folder)) return [];
    return readdirSync(folder)
      .filter((name) => HOST_KEY.test(name))
      .map((name) => join(folder, name));
  }

  #path(path: string): string {
    return join(this.#root, path);
  }

  #read(path: string): string {
    return existsSync(this.#path(path)) ? readFileSync(this.#path(path), "utf8") : "";
  }

  #replace(path: string, text: string, mode: number): void {
    const temporary = `${this.#path(path)}.nullspace`;
    writeFileSync(temporary, text, { mode });
    renameSync(temporary, this.#path(path));
  }
}

/** 128 bits in hexadecimal, as systemd writes them: the same for the same name, and of version 4. */
function systemId(purpose: string, name: string): string {
  const bytes = createHash("sha256")
    .update(`nullspace ${purpose} ${name}`)
    .digest()
    .subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString("hex");
}

/** The hosts file with the machine's own name in Debian's line for it. */
function hosts(text: string, hostname: string): string {
  const others = text.split("\n").filter((line) => line !== "" && !line.startsWith("127.0.1.1"));
  if (!others.some((line) => line.startsWith("127.0.0.1"))) others.unshift("127.0.0.1\tlocalhost");
  return `${[...others, `127.0.1.1\t${hostname}`].join("\n")}\n`;
}
