import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { BuildError } from "./build-error.ts";
import { buildImage } from "./build.ts";
import { openProgress } from "./progress.ts";

const USAGE = `Usage: node tooling/image/src/main.ts [--home DIR] [--cache DIR] [--agent DIR] [--json]

Builds the guest image into DIR/images/<digest>, unless it is there already.

  --home DIR    default $NULLSPACE_HOME, else /var/lib/nullspace
  --cache DIR  parts of images, for any number of homes; default DIR/cache/image of the home
  --agent DIR   the agent's bundle; default packages/agent/dist/bundle
  --json        print {"digest","directory","reused"} on one line when it is there
`;

const AGENT_BUNDLE = new URL("../../../packages/agent/dist/bundle", import.meta.url);

/** Exit status of a program ended by a signal, as shells have it. */
const INTERRUPTED = 130;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      home: { type: "string" },
      cache: { type: "string" },
      agent: { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", short: "h", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const abort = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.once(name, () => abort.abort());
  }
  try {
    const home = resolve(values.home ?? process.env["NULLSPACE_HOME"] ?? "/var/lib/nullspace");
    const image = await buildImage({
      images: join(home, "images"),
      cache: resolve(values.cache ?? join(home, "cache/image")),
      agentBundle: resolve(values.agent ?? fileURLToPath(AGENT_BUNDLE)),
      progress: openProgress(process.stderr),
      signal: abort.signal,
    });
    const line = values.json ? JSON.stringify(image) : image.directory;
    process.stdout.write(`${line}\n`);
    return 0;
  } catch (cause) {
    if (abort.signal.aborted) {
      process.stderr.write("Stopped. The next build goes on from here.\n");
      return INTERRUPTED;
    }
    if (!(cause instanceof BuildError)) throw cause;
    if (cause.logTail !== "") process.stderr.write(`${cause.logTail}\n\n`);
    process.stderr.write(`The image was not built: ${cause.message}.\n${cause.remedy}\n`);
    return 1;
  }
}

process.exitCode = await main();
