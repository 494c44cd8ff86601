import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { replaceFiles, writeFiles } from "../guest/file-text.js";
import type { GuestHelper } from "../helper/guest-helper.js";

/** All that OpenSSH makes by itself. */
const HOST_KEYS = ["rsa", "ecdsa", "ed25519", "dsa"].flatMap((kind) => [
  `ssh_host_${kind}_key`,
  `ssh_host_${kind}_key.pub`,
]);

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
   *
   * @throws HelperError
   */
  async renew(helper: GuestHelper, machineId: string, hostname: string): Promise<void> {
    const id = `${systemId("machine", machineId)}\n`;
    const replaced = [
      { path: this.#path("etc/machine-id"), text: id, mode: 0o444 },
      { path: this.#path("etc/hostname"), text: `${hostname}\n`, mode: 0o644 },
      {
        path: this.#path("etc/hosts"),
        text: hosts(this.#read("etc/hosts"), hostname),
        mode: 0o644,
      },
    ];
    if (existsSync(this.#path("var/lib/dbus"))) {
      replaced.push({ path: this.#path("var/lib/dbus/machine-id"), text: id, mode: 0o444 });
    }
    await Promise.all([
      replaceFiles(helper, replaced),
      writeFiles(helper, [{ path: this.#hostnameFile, text: hostname, mode: 0 }]),
      helper.request("remove", ...HOST_KEYS.map((name) => this.#path(`etc/ssh/${name}`))),
    ]);
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

  #path(path: string): string {
    return join(this.#root, path);
  }

  #read(path: string): string {
    return existsSync(this.#path(path)) ? readFileSync(this.#path(path), "utf8") : "";
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
