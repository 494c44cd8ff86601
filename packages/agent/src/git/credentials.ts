import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, mkdirSync, rmSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { ErrorReason } from "@nullspace/proto";
import {
  type GitCredentials,
  type GitPassword,
  type GitPlace,
  type GitSshKey,
  StartRequestSchema,
} from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import type { UserDatabase } from "../guest/users.js";
import type { GuestProcess } from "../process/guest-process.js";
import type { ProcessTable } from "../process/process-table.js";
import { invalid } from "./arguments.js";
import { type Scrub, scrubberOf, scrubberOfKey, scrubUrls } from "./scrub.js";

const MOST_PROMPT = 4096;

/** An ssh-agent that outlives a crash of this agent forgets its key after so long. */
const KEY_SECONDS = "3600";

export interface CredentialOptions {
  table: ProcessTable;
  users: UserDatabase;
  /** Where sockets may lie; gone after a reboot. */
  folder: string;
  /** The guest helper, which git runs to ask for a password. */
  askProgram: string;
}

/** What a git is started with so that it can show credentials, and nobody else can. */
export interface Access extends AsyncDisposable {
  env: Readonly<Record<string, string>>;
  options: readonly string[];
  scrub: Scrub;
}

/** Answers the questions of one git from memory, through a socket that goes with it. */
export class CredentialDesk {
  readonly #options: CredentialOptions;

  constructor(options: CredentialOptions) {
    this.#options = options;
    // What an agent that crashed has left there.
    rmSync(options.folder, { recursive: true, force: true });
  }

  /**
   * Lets one git show credentials to the hosts of some URLs, until it is disposed of.
   *
   * @throws Fault INVALID_ARGUMENT for credentials that cannot be used.
   */
  async open(
    credentials: GitCredentials | undefined,
    place: GitPlace | undefined,
    urls: readonly string[],
  ): Promise<Access> {
    const given = credentials?.credentials;
    switch (given?.case) {
      case "password":
        return this.#openPassword(given.value, place, urls);
      case "sshKey":
        return this.#openKey(given.value, place);
      case undefined:
      default:
        return {
          env: {},
          options: [],
          scrub: scrubUrls,
          [Symbol.asyncDispose]: async () => {},
        };
    }
  }

  async #openPassword(
    { username, password }: GitPassword,
    place: GitPlace | undefined,
    urls: readonly string[],
  ): Promise<Access> {
    if (/[\n\r\0]/.test(username + password)) {
      throw invalid(
        "auth",
        "the user name or password holds a line break",
        "Give each as one line.",
      );
    }
    const origins = new Set(urls.map(originOf));
    const folder = this.#makeFolder(place);
    const socket = join(folder, "ask");
    const server = await answer(socket, (prompt) => {
      const [, what, url = ""] = /^(Username|Password) for '(.*)': ?$/s.exec(prompt) ?? [];
      // A redirection or a submodule may lead elsewhere: the password is not theirs.
      if (what === undefined || !origins.has(originOf(url))) return undefined;
      return what === "Username" ? username : password;
    });
    return {
      env: { GIT_ASKPASS: this.#options.askProgram, NULLSPACE_ASKPASS: socket },
      // No helper of the user's is asked, and none is told.
      options: ["-c", "credential.helper="],
      scrub: scrubberOf(username, password),
      [Symbol.asyncDispose]: async () => {
        server.close();
        await rm(folder, { recursive: true, force: true });
      },
    };
  }

  /** The key goes through a pipe into an ssh-agent of its own, which ends with this git. */
  async #openKey(
    { privateKey, passphrase, knownHosts }: GitSshKey,
    place: GitPlace | undefined,
  ): Promise<Access> {
    const folder = this.#makeFolder(place);
    const asking = join(folder, "ask");
    const server = await answer(asking, (prompt) =>
      prompt.startsWith("Enter passphrase") && passphrase !== "" ? passphrase : undefined,
    );
    let agent: GuestProcess | undefined;
    const close = async () => {
      server.close();
      if (agent !== undefined && !agent.exited) agent.terminate();
      await rm(folder, { recursive: true, force: true });
    };
    try {
      const socket = join(folder, "agent");
      agent = await this.#start(place, "ssh-agent", ["-D", "-a", socket], {});
      await firstWords(agent);
      const env = {
        SSH_AUTH_SOCK: socket,
        SSH_ASKPASS: this.#options.askProgram,
        SSH_ASKPASS_REQUIRE: "force",
        DISPLAY: "none",
        NULLSPACE_ASKPASS: asking,
      };
      const adding = await this.#start(place, "ssh-add", ["-q", "-t", KEY_SECONDS, "-"], env);
      await adding.sendInput(Buffer.from(`${privateKey.replaceAll("\r\n", "\n").trim()}\n`));
      adding.closeInput();
      if ((await exitOf(adding)) !== 0) {
        throw new Fault(ErrorReason.GIT_AUTH_FAILED, "the private key cannot be used", {
          remedy: "Give a key in the format of OpenSSH or PEM, with its passphrase if it has one.",
        });
      }
      const hosts = join(folder, "known_hosts");
      if (knownHosts !== "") await writeFile(hosts, knownHosts, { mode: 0o644 });
      return {
        env: {
          SSH_AUTH_SOCK: socket,
          GIT_SSH_COMMAND: sshCommand(knownHosts === "" ? undefined : hosts),
        },
        options: [],
        scrub: scrubberOfKey(privateKey, passphrase),
        [Symbol.asyncDispose]: close,
      };
    } catch (error) {
      await close();
      throw error;
    }
  }

  async #start(
    place: GitPlace | undefined,
    command: string,
    args: string[],
    envs: Record<string, string>,
  ): Promise<GuestProcess> {
    const request = create(StartRequestSchema, {
      command,
      args,
      exec: true,
      cwd: "/",
      user: place?.user ?? "",
      envs: { ...place?.envs, ...envs },
      stdin: true,
    });
    return this.#options.table.start(request, { listed: false });
  }

  /** A folder that only the user can enter, of a name that nobody can guess or list. */
  #makeFolder(place: GitPlace | undefined): string {
    const { folder, users } = this.#options;
    const user = users.find(place?.user ?? "", ErrorReason.PROCESS_START_FAILED);
    mkdirSync(folder, { recursive: true });
    chmodSync(folder, 0o711);
    const own = join(folder, randomBytes(12).toString("hex"));
    mkdirSync(own, { mode: 0o700 });
    if (process.getuid?.() === 0) chownSync(own, user.uid, user.gid);
    return own;
  }
}

/** Listens for prompts, and answers each, or hangs up where there is no answer. */
async function answer(path: string, find: (prompt: string) => string | undefined): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket: Socket) => {
    let prompt = "";
    socket.setEncoding("utf8");
    socket.on("error", () => socket.destroy());
    socket.on("data", (text: string) => {
      prompt += text;
      if (prompt.length > MOST_PROMPT) socket.destroy();
    });
    socket.on("end", () => {
      const found = find(prompt);
      if (found === undefined) socket.end();
      else socket.end(`${found}\n`);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
  // The folder keeps strangers out; its owner must be able to connect.
  chmodSync(path, 0o666);
  return server;
}

/** Scheme, host and port of a URL, in one form; the text itself of what is none. */
function originOf(url: string): string {
  const parsed = URL.parse(url);
  return parsed === null ? url : `${parsed.protocol}//${parsed.host}`;
}

/** Never asks anything, shows no other key; without a file of hosts, new ones are believed once. */
function sshCommand(knownHosts: string | undefined): string {
  const options = [
    "BatchMode=yes",
    "IdentityFile=none",
    ...(knownHosts === undefined
      ? ["StrictHostKeyChecking=accept-new"]
      : ["StrictHostKeyChecking=yes", `UserKnownHostsFile=${knownHosts}`]),
  ];
  return ["ssh", ...options.flatMap((option) => ["-o", option])].join(" ");
}

async function firstWords(process: GuestProcess): Promise<void> {
  for await (const { event } of process.follow(0, new AbortController().signal)) {
    if (event?.case === "output") return;
  }
  throw new Fault(ErrorReason.GIT_AUTH_FAILED, "no ssh-agent can be started for the key", {
    remedy: "Is openssh-client installed in the machine?",
  });
}

async function exitOf(process: GuestProcess): Promise<number> {
  for await (const { event } of process.follow(0, new AbortController().signal)) {
    if (event?.case === "exit") return event.value.exitCode ?? 0;
  }
  return -1;
}
