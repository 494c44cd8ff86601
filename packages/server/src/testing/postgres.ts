import { execFile } from "node:child_process";
import { chown, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { Client } from "pg";

const execFileAsync = promisify(execFile);
const ROOT_OF_VERSIONS = "/usr/lib/postgresql";

/** A PostgreSQL of its own on a Unix socket, in a folder that goes with it. */
export class TestPostgres implements AsyncDisposable {
  readonly #directory: string;
  readonly #programs: string;
  readonly #identity: { uid?: number; gid?: number };
  #databases = 0;

  private constructor(
    directory: string,
    programs: string,
    identity: { uid?: number; gid?: number },
  ) {
    this.#directory = directory;
    this.#programs = programs;
    this.#identity = identity;
  }

  /** Makes and starts one: about two seconds. */
  static async start(): Promise<TestPostgres> {
    const directory = await mkdtemp(join(tmpdir(), "postgres-"));
    const identity = await serverIdentity();
    if (identity.uid !== undefined && identity.gid !== undefined) {
      await chown(directory, identity.uid, identity.gid);
    }
    const server = new TestPostgres(directory, await findPrograms(), identity);
    await server.#run("initdb", [
      "--no-sync",
      "--auth=trust",
      "--username=test",
      "-D",
      server.#data,
    ]);
    const settings = `-c listen_addresses= -c fsync=off -k ${directory}`;
    await server.#run("pg_ctl", [
      "start",
      "-w",
      "-D",
      server.#data,
      "-o",
      settings,
      "-l",
      `${directory}/log`,
    ]);
    return server;
  }

  /** Makes an empty database. */
  async createDatabase(): Promise<string> {
    const name = `test_${++this.#databases}`;
    const client = new Client({ connectionString: this.#url("postgres") });
    await client.connect();
    try {
      await client.query(`create database ${name}`);
    } finally {
      await client.end();
    }
    return this.#url(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#run("pg_ctl", ["stop", "-w", "-m", "immediate", "-D", this.#data]);
    await rm(this.#directory, { recursive: true });
  }

  get #data(): string {
    return join(this.#directory, "data");
  }

  #url(database: string): string {
    return `postgres://test@localhost/${database}?host=${encodeURIComponent(this.#directory)}`;
  }

  async #run(program: string, args: readonly string[]): Promise<void> {
    const options = { ...this.#identity, cwd: this.#directory };
    await execFileAsync(join(this.#programs, program), args, options);
  }
}

async function findPrograms(): Promise<string> {
  const versions = await readdir(ROOT_OF_VERSIONS).catch(() => []);
  const newest = versions.toSorted((a, b) => Number(b) - Number(a)).at(0);
  if (newest === undefined) {
    throw new Error("These tests need a PostgreSQL: apt-get install postgresql");
  }
  return join(ROOT_OF_VERSIONS, newest, "bin");
}

/** PostgreSQL refuses to run as root. */
async function serverIdentity(): Promise<{ uid?: number; gid?: number }> {
  if (process.getuid?.() !== 0) return {};
  const [uid, gid] = await Promise.all(
    ["-u", "-g"].map(async (flag) =>
      Number((await execFileAsync("id", [flag, "postgres"])).stdout),
    ),
  );
  return uid === undefined || gid === undefined ? {} : { uid, gid };
}
