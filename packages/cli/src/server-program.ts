import { fileURLToPath } from "node:url";

/** File of the `nullspace-server` program that is installed with this one. */
export function serverProgram(): string {
  return fileURLToPath(import.meta.resolve("@nullspace/server/bin"));
}

/**
 * Replaces this process by the server: signals, exit code and standard streams
 * are then the server's own, with nothing in between.
 */
export function handOverToServer(args: readonly string[]): never {
  const command = [process.execPath, serverProgram(), "server", ...args];
  if (process.execve === undefined) throw new Error("this platform cannot replace a process");
  return process.execve(process.execPath, command, process.env);
}
