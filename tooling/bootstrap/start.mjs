#!/usr/bin/env node
// npm start: from a fresh Debian to a running server and a machine that works.
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { runDemo } from "./lib/demo.mjs";
import { main } from "./lib/main.mjs";
import { DEFAULT_HOME } from "./lib/paths.mjs";
import { ServerProcess } from "./lib/server-process.mjs";
import { setUp } from "./lib/setup.mjs";
import { step } from "./lib/terminal.mjs";

const USAGE = `Usage: npm start -- [--once] [--home DIR] [--port N]

Installs what is missing, builds, makes the guest image, starts the server, runs
examples/demo.ts, and stays until Ctrl-C.

  --once      leave after the demo, with status 0 only if every step was right
  --home DIR  where the server keeps everything; default $NULLSPACE_HOME, else /var/lib/nullspace
  --port N    port of the server, 0 for any; default 7070
`;

await main(async (signal) => {
  const { values } = parseArgs({
    options: {
      once: { type: "boolean", default: false },
      home: { type: "string", default: DEFAULT_HOME },
      port: { type: "string" },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const home = resolve(values.home);
  await setUp({ home, signal });
  const args = values.port === undefined ? [] : ["--port", values.port];
  const server = await step("Server", () => ServerProcess.start({ home, args, signal }));
  try {
    process.stdout.write("\n");
    const right = await runDemo(server.ready, signal);
    process.stdout.write("\n");
    if (values.once || signal.aborted) return right ? 0 : 1;
    if (!right) process.stderr.write("The demo failed; the server is up all the same.\n");
    return await stayUp(server, signal);
  } finally {
    await step("Stopping the server", () => server.stop());
  }
});

/**
 * Tells where the server is and waits for Ctrl-C.
 *
 * @param {ServerProcess} server
 * @param {AbortSignal} signal
 * @returns {Promise<number>} the exit status
 */
async function stayUp(server, signal) {
  const { url, apiKey, consoleUrl } = server.ready;
  process.stdout.write(`API URL      ${url}
API key      ${apiKey}
Console URL  ${consoleUrl}
Server log   ${server.log}

Ctrl-C stops the server.
`);
  const asked = new Promise((fulfil) => {
    signal.addEventListener("abort", fulfil, { once: true });
  });
  await Promise.race([asked, server.ended()]);
  if (signal.aborted) return 0;
  process.stderr.write(`The server has ended by itself. Its log is ${server.log}.\n`);
  return 1;
}
