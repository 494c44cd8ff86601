import { open } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { once } from "node:events";
import { type Deadline, within } from "./deadline.js";

/**
 * Connects to a Unix socket by the folder it is in and its name there. The
 * kernel takes addresses of 107 bytes at most, so the folder is named by a
 * descriptor: `$NULLSPACE_HOME` may be as deep as it likes.
 *
 * @throws the system's error, DeadlineError, or the reason of the signal.
 */
export async function connectUnix(
  directory: string,
  name: string,
  deadline: Deadline,
): Promise<Socket> {
  await using folder = await open(directory, "r");
  const socket = connect(`/proc/self/fd/${folder.fd}/${name}`);
  try {
    await within(once(socket, "connect"), `a connection to ${name}`, deadline);
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}
