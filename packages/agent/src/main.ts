#!/usr/bin/env node
import { mkdirSync } from "node:fs";
import { userInfo } from "node:os";
import { join, resolve } from "node:path";
import { runAgent } from "./agent.js";
import { type Arguments, parseArguments, USAGE } from "./arguments.js";
import { Channel } from "./channel/channel.js";
import { channelProgram, helperProgram } from "./helper/program.js";
import { logDefect } from "./log.js";

/** Ends the process at once, and not in order. The supervisor starts another. */
function die(what: string, error: unknown): void {
  logDefect(what, error);
  process.kill(process.pid, "SIGKILL");
}

function readArguments(): Arguments | undefined {
  try {
    return parseArguments(process.argv.slice(2), userInfo().username);
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    process.stderr.write(`nullspace-agent: ${what}\n${USAGE}`);
    return undefined;
  }
}

/** Serves a machine until the process is killed, or a socket until it is told to stop. */
async function serve({ place, stateFolder, user }: Arguments): Promise<void> {
  const isMachine = place.kind === "port";
  const stop = new AbortController();
  if (!isMachine) {
    process.on("SIGTERM", () => stop.abort());
    process.on("SIGINT", () => stop.abort());
  }
  mkdirSync(stateFolder, { recursive: true, mode: 0o755 });
  await using channel = await Channel.open({
    program: channelProgram(),
    port: isMachine ? place.name : resolve(place.path),
    folder: join(stateFolder, "channel"),
  });
  const options = { channel, stateFolder, defaultUser: user, sandboxed: !isMachine };
  await runAgent({ ...options, helperProgram: helperProgram(), onDefect }, stop.signal);
}

const onDefect = (error: unknown) => logDefect("defect", error);

process.on("uncaughtException", (error) => die("uncaught", error));
process.on("unhandledRejection", (error) => die("unhandled", error));

const parsed = readArguments();
if (parsed === undefined) process.exitCode = 2;
else await serve(parsed);
