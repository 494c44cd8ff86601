import { execFile } from "node:child_process";
import { copyFile, cp, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const ROOT_OF_VERSIONS = "/usr/lib/postgresql";
/** What of PostgreSQL a machine gets; each is loaded by the server or started by a test. */
const PROGRAMS = ["postgres", "pg_ctl", "psql", "pg_amcheck"];
const MODULES = ["plpgsql.so", "amcheck.so"];
/** Those of the C library belong to whatever system a program runs on. */
const OWN_OF_THE_SYSTEM = /^(ld-linux|lib(c|m|dl|rt|pthread|resolv))[.-]/;

/** The PostgreSQL of this computer: 15, 16, ... */
export async function postgresVersion(): Promise<string> {
  const versions = await readdir(ROOT_OF_VERSIONS).catch(() => []);
  const newest = versions.toSorted((a, b) => Number(b) - Number(a)).at(0);
  if (newest !== undefined) return newest;
  throw new Error("These tests need a PostgreSQL: apt-get install postgresql");
}

/** Folder of a program of PostgreSQL on this computer, and in a machine that has got it. */
export function programsOf(version: string): string {
  return join(ROOT_OF_VERSIONS, version, "bin");
}

/** Where a machine finds the libraries that come along. */
export const LIBRARIES = "/opt/postgres-libraries";

/** Runs a program as the one who owns a database on this computer: PostgreSQL refuses to run as root. */
export async function asPostgres(command: string, ...args: string[]): Promise<string> {
  const prefix = ["--reuid=postgres", "--regid=postgres", "--clear-groups", command];
  return (await run("setpriv", [...prefix, ...args], { cwd: "/" })).stdout;
}

/**
 * Packs this computer's PostgreSQL for a machine: programs, what they load, and an empty
 * database in `/workspace/postgres`. To be unpacked in `/`.
 *
 * @returns the archive's path; it is the caller's.
 */
export async function packPostgres(): Promise<string> {
  const version = await postgresVersion();
  const folder = await mkdtemp(join(tmpdir(), "nullspace-postgres-"));
  const root = join(folder, "root");
  const from = join(ROOT_OF_VERSIONS, version);
  await mkdir(join(root, from, "bin"), { recursive: true });
  await mkdir(join(root, from, "lib"));
  await mkdir(join(root, LIBRARIES), { recursive: true });
  const loaded = [
    ...PROGRAMS.map((name) => join("bin", name)),
    ...MODULES.map((name) => join("lib", name)),
  ];
  for (const path of loaded) await copyFile(join(from, path), join(root, from, path));
  const { stdout } = await run(
    "ldd",
    loaded.map((path) => join(from, path)),
  );
  const libraries = new Set([...stdout.matchAll(/=> (\/\S+)/g)].map(([, path = ""]) => path));
  for (const path of libraries) {
    if (OWN_OF_THE_SYSTEM.test(basename(path))) continue;
    await copyFile(path, join(root, LIBRARIES, basename(path)));
  }
  const share = join("/usr/share/postgresql", version);
  await cp(share, join(root, share), { recursive: true, dereference: true });
  await run("chown", ["postgres:", folder]);
  const data = join(folder, "data");
  const options = ["--no-sync", "--auth=trust", "--username=test", "-E", "UTF8", "--locale=C"];
  // The log of writes is made in files of this many MiB, whatever is in them.
  options.push("--wal-segsize=1");
  await asPostgres(join(from, "bin/initdb"), ...options, "-D", data);
  await mkdir(join(root, "workspace"));
  await cp(data, join(root, "workspace/postgres"), { recursive: true });
  const archive = join(tmpdir(), `${basename(folder)}.tgz`);
  const packing = ["--use-compress-program=gzip -1", "--owner=0", "--group=0"];
  await run("tar", ["-C", root, ...packing, "-cf", archive, "."]);
  await rm(folder, { recursive: true });
  return archive;
}
