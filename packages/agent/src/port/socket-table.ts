/** A socket that listens, as the kernel's tables tell. */
export interface ListeningSocket {
  readonly port: number;
  readonly address: string;
  /** Of the socket: what a process's descriptors name it by. */
  readonly inode: string;
}

/** State LISTEN in the kernel's tables. */
const LISTEN = "0A";

/** Reads `/proc/net/tcp` or `/proc/net/tcp6`. */
export function parseSocketTable(table: string): ListeningSocket[] {
  return table.split("\n").flatMap((line) => {
    // sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode
    const [, local = "", , state, , , , , , inode = ""] = line.trim().split(/\s+/);
    const [hex = "", port = ""] = local.split(":");
    if (state !== LISTEN || inode === "") return [];
    return [{ port: Number.parseInt(port, 16), address: addressOf(hex), inode }];
  });
}

/** Addresses stand there as words in the byte order of the processor, which is little-endian. */
function addressOf(hex: string): string {
  const bytes = Buffer.from(hex, "hex");
  bytes.swap32();
  if (bytes.length === 4) return bytes.join(".");
  const isMapped = bytes.subarray(0, 12).toString("hex") === "00000000000000000000ffff";
  if (isMapped) return bytes.subarray(12).join(".");
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16));
  return new URL(`http://[${groups.join(":")}]`).hostname.slice(1, -1);
}
