import { closeSync, openSync, readSync } from "node:fs";

/**
 * Random bytes from the kernel. Never from Node's own generator: its state is
 * part of the memory snapshot, so two machines restored from one would draw the
 * same bytes; the kernel's pool is reseeded before a machine is released.
 */
export function randomBytes(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const fd = openSync("/dev/urandom", "r");
  try {
    for (let at = 0; at < length;) at += readSync(fd, bytes, at, length - at, null);
  } finally {
    closeSync(fd);
  }
  return bytes;
}
