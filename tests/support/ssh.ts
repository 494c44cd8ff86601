import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { Machine, SshAccess } from "@nullspace/sdk";

const CLI = fileURLToPath(new URL("../../packages/cli/dist/main.js", import.meta.url));

/** How a program ended. */
export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Parts of an access that a test takes from elsewhere. */
export interface SshParts {
  /** Private key; that of the access when not given. */
  key?: string;
  /** Certificate; that of the access when not given, none when empty. */
  certificate?: string;
  /** Whom to log in as; "user" when not given. */
  user?: string;
  /** What carries the connection; `nullspace ssh proxy` when not given. */
  proxy?: string;
}

/** An access to a machine, granted through the SDK, and what stock OpenSSH needs of it in a folder. */
export class SshClient implements AsyncDisposable {
  private constructor(
    readonly machineId: string,
    readonly folder: string,
    readonly access: SshAccess,
  ) {}

  /**
   * Grants an access for a new key.
   *
   * @param through - URL of a proxy before the server that the connections take; none when not given.
   */
  static async open(machine: Machine, expiresInMinutes = 10, through?: string): Promise<SshClient> {
    const folder = await mkdtemp(join(tmpdir(), "nullspace-ssh-test-"));
    const publicKey = await newKey(join(folder, "id"));
    const access = await machine.createSshAccess({ publicKey, expiresInMinutes });
    await writeFile(join(folder, "certificate.pub"), `${access.certificate}\n`);
    await writeFile(join(folder, "known_hosts"), `${access.knownHosts}\n`);
    const { relayUrl, relayToken: token, machineId, id: accessId } = access;
    const url = new URL(relayUrl);
    if (through !== undefined) url.host = new URL(through).host;
    const [createdAt, expiresAt] = [access.createdAt, access.expiresAt];
    const relay = {
      server: url.origin,
      url,
      token,
      machineId,
      accessId,
      createdAt,
      expiresAt,
    };
    await writeFile(join(folder, "relay.json"), JSON.stringify(relay));
    return new SshClient(machine.id, folder, access);
  }

  /** Options of ssh, scp and the like. */
  options(parts: SshParts = {}): string[] {
    const { key = join(this.folder, "id"), certificate = join(this.folder, "certificate.pub") } =
      parts;
    const proxy = `'${process.execPath}' '${CLI}' ssh proxy ${this.machineId}`;
    const settings = {
      User: parts.user ?? "user",
      IdentityFile: key,
      ...(certificate !== "" && { CertificateFile: certificate }),
      IdentitiesOnly: "yes",
      IdentityAgent: "none",
      UserKnownHostsFile: join(this.folder, "known_hosts"),
      StrictHostKeyChecking: "yes",
      BatchMode: "yes",
      ProxyCommand: parts.proxy ?? proxy,
    };
    return ["-F", "none", ...optionsOf(settings)];
  }

  /** Starts stock ssh. */
  start(args: readonly string[], parts: SshParts = {}): ChildProcess {
    return this.spawn("ssh", [...this.options(parts), ...args]);
  }

  /** Runs stock ssh to the machine to its end. */
  async run(
    command: string,
    parts: SshParts = {},
    input: string | Uint8Array = "",
  ): Promise<Ended> {
    return ended(this.start([this.machineId, command], parts), input);
  }

  /** Starts a program that uses ssh, with the relay's token where the proxy looks for it. */
  spawn(program: string, args: readonly string[]): ChildProcess {
    return spawn(program, args, { env: { ...process.env, NULLSPACE_SSH_ACCESS: this.folder } });
  }

  /** Path of a file of the folder. */
  path(name: string): string {
    return join(this.folder, name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** Settings as options on a command line. */
function optionsOf(settings: Readonly<Record<string, string>>): string[] {
  return Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
}

/** Makes a key pair and gives its public part. */
export async function newKey(path: string): Promise<string> {
  await keygen(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", path]);
  return readFile(`${path}.pub`, "utf8");
}

/** Signs a public key with OpenSSH's own tool; gives the path of the certificate. */
export async function sign(
  authority: string,
  publicKey: string,
  { principal, validity }: { principal: string; validity: string },
): Promise<string> {
  await keygen(["-q", "-s", authority, "-I", "test", "-n", principal, "-V", validity, publicKey]);
  return publicKey.replace(/\.pub$/, "-cert.pub");
}

export async function keygen(args: readonly string[]): Promise<string> {
  return (await promisify(execFile)("ssh-keygen", args)).stdout;
}

/** Waits for the end of a process. */
export async function ended(child: ChildProcess, input: string | Uint8Array = ""): Promise<Ended> {
  const output = { stdout: "", stderr: "" };
  child.stdout?.on("data", (data: Buffer) => (output.stdout += data.toString("latin1")));
  child.stderr?.on("data", (data: Buffer) => (output.stderr += data.toString()));
  child.stdin?.on("error", () => undefined);
  child.stdin?.end(input);
  await once(child, "close");
  return { code: child.exitCode, ...output };
}

/** A session that stays open: every line that is sent comes back. */
export class EchoSession implements Disposable {
  readonly #child: ChildProcess;
  readonly #closed: Promise<unknown>;
  #output = "";
  #changed = Promise.withResolvers<void>();

  private constructor(child: ChildProcess) {
    this.#child = child;
    child.stdin?.on("error", () => undefined);
    const tell = () => {
      this.#changed.resolve();
      this.#changed = Promise.withResolvers();
    };
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (data: Buffer) => {
        this.#output += data.toString();
        tell();
      });
    }
    this.#closed = once(child, "close").then(tell);
  }

  static async open(client: SshClient): Promise<EchoSession> {
    return await EchoSession.start(client.start([client.machineId, "echo ready; exec cat"]));
  }

  /** One of an ssh that says "ready" and then what it is told. */
  static async start(child: ChildProcess): Promise<EchoSession> {
    const session = new EchoSession(child);
    await session.#until("ready\n");
    return session;
  }

  async echo(word: string): Promise<void> {
    this.#child.stdin?.write(`${word}\n`);
    await this.#until(`${word}\n`);
  }

  /** Resolves with ssh's exit code when it has lost the connection. */
  async cut(): Promise<number | null> {
    await this.#closed;
    return this.#child.exitCode;
  }

  [Symbol.dispose](): void {
    this.#child.kill();
  }

  async #until(text: string): Promise<void> {
    while (!this.#output.includes(text)) {
      if (this.#child.exitCode !== null) throw new Error(`ssh ended: ${this.#output}`);
      await this.#changed.promise;
    }
  }
}

/** One connection of stock ssh that others share, kept alive while nobody uses it. */
export class SharedConnection implements AsyncDisposable {
  readonly #client: SshClient;
  readonly #master: ChildProcess;

  private constructor(client: SshClient, master: ChildProcess) {
    this.#client = client;
    this.#master = master;
  }

  /** Opens it, and waits until others can share it. */
  static async open(client: SshClient): Promise<SharedConnection> {
    const options = optionsOf({
      ControlMaster: "yes",
      ControlPath: client.path("control"),
      // Its own session tells that it is there, and holds it open.
      ControlPersist: "no",
      ServerAliveInterval: "2",
      ServerAliveCountMax: "3",
    });
    const master = client.start([...options, client.machineId, "echo ready; exec cat"]);
    await EchoSession.start(master);
    return new SharedConnection(client, master);
  }

  /** How ssh is told of the machine. */
  get host(): string {
    return this.#client.machineId;
  }

  /** Of the process whose connection it is. */
  get pid(): number | undefined {
    return this.#master.pid;
  }

  /** Starts `ssh` or `sftp`, which take this connection and open none. */
  start(program: "ssh" | "sftp", args: readonly string[]): ChildProcess {
    const options = optionsOf({
      ControlPath: this.#client.path("control"),
      ProxyCommand: "false",
    });
    // The first of an option counts.
    return this.#client.spawn(program, [...options, ...this.#client.options(), ...args]);
  }

  /** Tells the connection's process something, as `-O forward`. */
  async control(args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await ended(this.start("ssh", [...args, this.host]));
    if (code !== 0) throw new Error(`ssh ${args.join(" ")}: ${stderr}`);
    return stdout + stderr;
  }

  /** Process whose connection others take now. */
  async masterPid(): Promise<number> {
    return Number(/pid=(\d+)/.exec(await this.control(["-O", "check"]))?.[1]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { exitCode, signalCode } = this.#master;
    if (exitCode !== null || signalCode !== null) return;
    const closed = once(this.#master, "close");
    this.#master.kill();
    await closed;
  }
}
