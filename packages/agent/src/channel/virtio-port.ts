import { open, read, readdir, readFile, write } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Port } from "./port.js";

const PORTS = "/sys/class/virtio-ports";

/** Chunks are cut from slabs this large, one after the other: reading copies nothing. */
const SLAB_SIZE = 256 << 10;
/** The kernel hands out at most a page per read. */
const READ_SIZE = 4 << 10;

/**
 * A virtio-serial port. Node cannot poll one, so reads and writes block on the
 * thread pool: one thread each, at most. It is open for the life of the process.
 */
export class VirtioPort implements Port {
  readonly #fd: number;
  #slab = Buffer.allocUnsafeSlow(SLAB_SIZE);
  #used = 0;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /**
   * Opens the port of a name, as the host gave it on QEMU's command line.
   *
   * @throws Error when the machine has no such port.
   */
  static async open(name: string): Promise<VirtioPort> {
    for (const device of await promisify(readdir)(PORTS)) {
      const itsName = await promisify(readFile)(join(PORTS, device, "name"), "utf8");
      if (itsName.trim() === name)
        return new VirtioPort(await promisify(open)(join("/dev", device), "r+"));
    }
    throw new Error(`no virtio-serial port is called ${name}`);
  }

  read(): Promise<Buffer> {
    if (this.#used + READ_SIZE > SLAB_SIZE) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_SIZE);
      this.#used = 0;
    }
    const slab = this.#slab;
    const at = this.#used;
    return new Promise((resolve, reject) => {
      read(this.#fd, slab, at, READ_SIZE, null, (error, length) => {
        if (error) return reject(error);
        this.#used = at + length;
        resolve(slab.subarray(at, at + length));
      });
    });
  }

  write(bytes: Buffer): Promise<number> {
    return new Promise((resolve, reject) => {
      write(this.#fd, bytes, 0, bytes.length, null, (error, length) => {
        if (error) reject(error);
        else resolve(length);
      });
    });
  }

  /** The kernel lets a write pass once a host is there. The byte itself comes before any nonce: it is dropped. */
  async waitForHost(): Promise<void> {
    await this.write(Buffer.alloc(1));
  }
}
