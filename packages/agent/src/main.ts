#!/usr/bin/env node
import { mkdirSync } from "node:fs";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";
import { runAgent } from "./agent.js";
import { type Arguments, parseArguments, USAGE } from "./arguments.js";
import { PortPump } from "./channel/port-pump.js";
import { SocketPort } from "./channel/socket-port.js";
import { helperProgram } from "./helper/program.js";
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

/** Serves the machine until the process is killed. */
async function serveMachine(portName: string, { stateFolder, user }: Arguments): Promise<void> {
  const helper = helperProgram();
  const socketPath = join(stateFolder, "channel.sock");
  mkdirSync(stateFolder, { recursive: true, mode: 0o755 });
  await using port = await SocketPort.listen(socketPath);
  await using pump = new PortPump(join(dirname(helper), "channel-pump"), portName, socketPath);
  const options = { port, stateFolder, defaultUser: user, sandboxed: false };
  const { signal } = new AbortController();
  await Promise.race([
    runAgent({ ...options, helperProgram: helper, onDefect }, signal),
    pump.lost,
  ]);
}

/** Serves a socket until it is told to stop. */
async function serveSocket(path: string, { stateFolder, user }: Arguments): Promise<void> {
  const stop = new AbortController();
  process.on("SIGTERM", () => stop.abort());
  process.on("SIGINT", () => stop.abort());
  await using port = await SocketPort.listen(path);
  const options = { port, stateFolder, defaultUser: user, sandboxed: true };
  await runAgent({ ...options, helperProgram: helperProgram(), onDefect }, stop.signal);
}

const onDefect = (error: unknown) => logDefect("defect", error);

process.on("uncaughtException", (error) => die("uncaught", error));
process.on("unhandledRejection", (error) => die("unhandled", error));

const parsed = readArguments();
if (parsed === undefined) process.exitCode = 2;
else if (parsed.place.kind === "port") await serveMachine(parsed.place.name, parsed);
else await serveSocket(parsed.place.path, parsed);
