import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";

/** A script of the shell that did not end well. */
export class ScriptError extends Error {
  override readonly name = "ScriptError";

  /** @param output - all that it wrote to its standard error: its first line is the message. */
  constructor(readonly output: string) {
    super(output.split("\n", 1)[0]);
  }
}

/** What a script prints at its end: one that was cut off has not done all that it should. */
const DONE = "done";

/** Where the namespaces of `ip netns` have their names. */
export const NAMESPACES = "/run/netns";

/**
 * Runs a script of the shell that stops at its first error.
 *
 * @param namespace - the network namespace to run it in; the host's own when undefined.
 * @throws ScriptError with what the script wrote to its standard error.
 */
export async function runScript(script: string, namespace?: string): Promise<string> {
  const shell = ["/bin/sh", "-se"];
  const [command = "", ...args] =
    namespace === undefined ? shell : ["nsenter", `--net=${NAMESPACES}/${namespace}`, ...shell];
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
  const ended = once(child, "close");
  // A script that ends early reads no more; its exit tells.
  child.stdin.on("error", () => undefined);
  child.stdin.end(`${script}\necho ${DONE}\n`);
  const [output, errors] = await Promise.all([text(child.stdout), text(child.stderr), ended]);
  if (child.exitCode === 0 && output.endsWith(`${DONE}\n`))
    return output.slice(0, -DONE.length - 1);
  throw new ScriptError(
    errors.trim() || `${command} ended with ${child.exitCode ?? child.signalCode}`,
  );
}

/** A command of the shell with a text as its standard input. */
export function withInput(command: string, input: string): string {
  if (input.includes("END_OF_INPUT")) throw new Error("the input holds its own end");
  return `${command} <<'END_OF_INPUT'\n${input}\nEND_OF_INPUT\n`;
}

/** A command of the shell that hands rules to nftables, which takes all of them or none. */
export function nft(rules: string): string {
  return withInput("nft -f -", rules);
}
