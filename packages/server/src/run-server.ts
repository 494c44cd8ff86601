import { resolve } from "node:path";
import { Fault } from "@nullspace/proto/fault";
import { redactSecrets } from "@nullspace/proto/tokens";
import { type DestinationStream, destination, type Logger } from "pino";
import { readCertificate } from "./certificate.js";
import type { ProjectLimits } from "./domain/project.js";
import type { Certificate } from "./http/listener.js";
import { QemuHost } from "./host/qemu-host.js";
import { openLog, takeConsole } from "./log.js";
import { type Server, startServer } from "./server.js";
import { GRACE_MS, type LOG_LEVELS } from "./settings.js";
import { StartError } from "./start-error.js";

const DAY_MS = 86_400_000;

/** Options of `nullspace-server server`. */
export interface ServerFlags {
  home: string;
  host: string;
  port: number;
  qemu: string;
  json: boolean;
  logLevel: (typeof LOG_LEVELS)[number];
  maxMachines: number;
  maxMemoryMb: number;
  keepDays: number;
  keepAuditDays: number;
  projectLimit: ProjectLimits;
  warmPool: ReadonlyMap<string, number>;
  previewDomain: string;
  tlsCert?: string;
  tlsKey?: string;
  dns: readonly string[];
}

/** Runs a server until the process is told to stop, and gives the exit code. */
export async function runServer(flags: ServerFlags): Promise<number> {
  const log = openLog(flags.logLevel, standardError());
  takeConsole(log);
  const asked = Promise.withResolvers<NodeJS.Signals>();
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) process.on(signal, asked.resolve);
  process.on("unhandledRejection", (err) => die(log, err));
  process.on("uncaughtException", (err) => die(log, err));
  try {
    const certificate = await readCertificate(flags);
    await using server = await startServer(serverOptions(flags, certificate, log));
    process.stdout.write(flags.json ? readyLine(server) : welcome(server));
    log.info({ signal: await asked.promise }, "asked to stop");
    // Whoever asks twice is in a hurry.
    for (const signal of ["SIGTERM", "SIGINT"] as const)
      process.once(signal, () => process.exit(1));
    return 0;
  } catch (error) {
    if (!(error instanceof StartError) && !(error instanceof Fault)) throw error;
    process.stderr.write(redactSecrets(`nullspace-server: ${error.message}\n${error.remedy}\n`));
    return 1;
  }
}

function serverOptions(
  flags: ServerFlags,
  certificate: Certificate | undefined,
  log: Logger,
): Parameters<typeof startServer>[0] {
  const { home, host, port, qemu, maxMachines, maxMemoryMb, keepDays, warmPool, dns } = flags;
  return {
    home: resolve(home),
    host,
    port,
    databaseUrl: process.env["DATABASE_URL"],
    capacity: { maxMachines, maxMemoryMb },
    projectLimits: flags.projectLimit,
    keepEndedMs: keepDays * DAY_MS,
    keepAuditMs: flags.keepAuditDays * DAY_MS,
    graceMs: GRACE_MS,
    previewDomain: flags.previewDomain,
    certificate,
    log,
    openHost: (path) => QemuHost.open({ home: path, qemu, warmPool, resolvers: dns, log }),
  };
}

/** Losing their reader is no reason to end. */
function standardError(): DestinationStream {
  const stream: DestinationStream & NodeJS.EventEmitter = destination({ dest: 2, sync: true });
  stream.on("error", () => undefined);
  return stream;
}

function die(log: Logger, err: unknown): never {
  log.fatal({ err }, "defect: the server ends; its machines go on");
  process.exit(70);
}

function readyLine({ url, apiKey, consoleUrl }: Server): string {
  return `${JSON.stringify({ url, apiKey, consoleUrl })}\n`;
}

function welcome({ url, apiKey, consoleUrl }: Server): string {
  return `API URL      ${url}\nAPI key      ${apiKey}\nConsole URL  ${consoleUrl}\n`;
}
