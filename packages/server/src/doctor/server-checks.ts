import { constants } from "node:fs";
import { access, statfs } from "node:fs/promises";
import { once } from "node:events";
import { createServer } from "node:net";
import { freemem, totalmem } from "node:os";
import { dirname } from "node:path";
import { openDatabase } from "../store/database.js";
import { type Check, fail, ok, warn } from "./check.js";

const OLDEST_NODE = 24;
const MIB = 1 << 20;
/** Below this a template cannot be captured, in MiB. */
const LEAST_DISK_MB = 2048;
const COMFORTABLE_DISK_MB = 10_240;
/** Room for the smallest useful machine beside the server, in MiB. */
const LEAST_MEMORY_MB = 1024;

const ANSWER_MS = 2000;

/** What the checks are about. */
export interface ServerCheckOptions {
  readonly home: string;
  readonly host: string;
  readonly port: number;
  readonly databaseUrl: string | undefined;
}

/** Looks at what the control plane needs, one thing after the other. */
export async function* checkServer(options: ServerCheckOptions): AsyncGenerator<Check> {
  yield checkNode();
  yield checkRoot();
  yield await checkHome(options.home);
  yield await checkDisk(options.home);
  yield checkMemory();
  yield await checkPort(options.host, options.port);
  if (options.databaseUrl !== undefined) yield await checkDatabase(options.databaseUrl);
}

function checkNode(): Check {
  const found = process.versions.node;
  if (Number(found.split(".", 1)[0]) >= OLDEST_NODE) return ok("node", found);
  return fail("node", found, `Run the server with Node ${OLDEST_NODE} or newer.`);
}

function checkRoot(): Check {
  const uid = process.getuid?.();
  if (uid === 0) return ok("root", "running as root");
  return warn(
    "root",
    `running as user ${uid}`,
    "Run as root, so that each machine's QEMU gets a user of its own and limits.",
  );
}

async function checkHome(home: string): Promise<Check> {
  const existing = await nearestExisting(home);
  try {
    await access(existing, constants.R_OK | constants.W_OK | constants.X_OK);
  } catch {
    return fail(
      "home",
      `${existing} cannot be written`,
      "Run as root, or choose a folder of your own with --home or NULLSPACE_HOME.",
    );
  }
  return ok("home", existing === home ? home : `${home}, made at the first start`);
}

async function checkDisk(home: string): Promise<Check> {
  const { bavail, bsize } = await statfs(await nearestExisting(home));
  const freeMb = Math.floor((bavail * bsize) / MIB);
  const detail = `${freeMb} MiB free under ${home}`;
  const remedy = "Free some space, or choose a folder on a larger disk with --home.";
  if (freeMb < LEAST_DISK_MB) return fail("disk", detail, remedy);
  if (freeMb < COMFORTABLE_DISK_MB) return warn("disk", detail, remedy);
  return ok("disk", detail);
}

function checkMemory(): Check {
  const freeMb = Math.floor(freemem() / MIB);
  const detail = `${freeMb} MiB free of ${Math.floor(totalmem() / MIB)}`;
  if (freeMb >= LEAST_MEMORY_MB) return ok("memory", detail);
  return warn("memory", detail, "End other programs, or use machines of less memory.");
}

async function checkPort(host: string, port: number): Promise<Check> {
  const server = createServer();
  server.listen({ host, port });
  try {
    await once(server, "listening");
    server.close();
    return ok("port", `${host}:${port} is free`);
  } catch (error) {
    if (await serverAnswers(host, port)) return ok("port", `a server answers on ${host}:${port}`);
    const message = error instanceof Error ? error.message : String(error);
    return fail("port", message, "Choose another with --port, or stop the program that has it.");
  }
}

async function serverAnswers(host: string, port: number): Promise<boolean> {
  try {
    const signal = AbortSignal.timeout(ANSWER_MS);
    return (await fetch(`http://${host}:${port}/healthz`, { signal })).ok;
  } catch {
    return false;
  }
}

async function checkDatabase(url: string): Promise<Check> {
  try {
    const database = await openDatabase(url, () => undefined);
    await database.destroy();
    return ok("database", "DATABASE_URL answers and its schema is up to date");
  } catch (error) {
    // The URL holds a password: only what the server said of it is shown.
    const detail = error instanceof Error ? describe(error) : String(error);
    return fail("database", detail, "Check DATABASE_URL, and that PostgreSQL is running there.");
  }
}

function describe(error: Error): string {
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
}

async function nearestExisting(path: string): Promise<string> {
  try {
    await access(path);
    return path;
  } catch {
    const parent = dirname(path);
    return parent === path ? path : nearestExisting(parent);
  }
}
