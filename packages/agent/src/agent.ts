import { once } from "node:events";
import { dirname, join } from "node:path";
import { mkdirSync } from "node:fs";
import {
  FileService,
  GitService,
  PortService,
  ProcessService,
  PtyService,
  SshdService,
  SystemService,
} from "@nullspace/proto/agent";
import { adoptionMark } from "@nullspace/proto/channel";
import type { Channel } from "./channel/channel.js";
import { fileService } from "./file/file-service.js";
import { Paths } from "./file/paths.js";
import { Uploads } from "./file/uploads.js";
import { CredentialDesk } from "./git/credentials.js";
import { Git } from "./git/git.js";
import { gitService } from "./git/git-service.js";
import { GitNetwork } from "./git/network.js";
import { outliveUserProcesses, separateUserProcesses } from "./guest/protection.js";
import { StateStore } from "./guest/state.js";
import { UserDatabase } from "./guest/users.js";
import { type Adopted, GuestHelper } from "./helper/guest-helper.js";
import { ProcessTable } from "./process/process-table.js";
import { takeDial } from "./port/dial-call.js";
import { portService } from "./port/port-service.js";
import { processService } from "./process/process-service.js";
import { ptyService } from "./pty/pty-service.js";
import { PtyTable } from "./pty/pty-table.js";
import { type AddService, Http2Endpoint } from "./rpc/http2-endpoint.js";
import { Sshd } from "./ssh/sshd.js";
import { sshdService } from "./ssh/sshd-service.js";
import type { Guest } from "./system/adopt.js";
import { systemService } from "./system/system-service.js";
import { warmUp } from "./system/warm-up.js";

/** Where the machine's sshd is found, on its loopback. */
const SSH_PORT = 22;

/** When what can wait is done, in milliseconds after an adoption: the machine's first command wants the processor. */
const AFTER_FIRST_COMMAND_MS = 1000;

export interface AgentOptions {
  /** Where the host is met. */
  channel: Channel;
  /** Folder of what an agent that is restarted must know; gone after a reboot. */
  stateFolder: string;
  /** The compiled guest helper. */
  helperProgram: string;
  /** Who runs commands and owns files where a request names nobody. */
  defaultUser: string;
  /**
   * Not in a machine of our own: clock, entropy and mounts are left alone, the
   * identity is written below the state folder, and processes end with the agent.
   */
  sandboxed: boolean;
  /** Told of every fault of the agent's own; it goes on. */
  onDefect: (error: unknown) => void;
}

/**
 * Serves the machine's host through a channel until the signal aborts.
 *
 * @throws Error when the channel or the guest helper fails: only a new process can help then.
 */
export async function runAgent(options: AgentOptions, signal: AbortSignal): Promise<void> {
  const { channel, stateFolder, sandboxed, onDefect } = options;
  const state = new StateStore(stateFolder);
  const root = sandboxed ? sandboxRoot(stateFolder) : "";
  if (!sandboxed) outliveUserProcesses();
  await using helper = await GuestHelper.open({
    program: options.helperProgram,
    stateFolder,
    root,
    test: sandboxed,
  });
  if (!sandboxed) separateUserProcesses(helper.pid);
  const users = new UserDatabase(options.defaultUser);
  const table = new ProcessTable(helper, users, state, onDefect);
  const ptys = new PtyTable(table, users, onDefect);
  const paths = new Paths(() => state.machine.cwd);
  const git = new Git(table);
  const desk = new CredentialDesk({
    table,
    users,
    folder: join(stateFolder, "git"),
    askProgram: options.helperProgram,
  });
  const newFolder = (path: string) => paths.target(path).path;
  const network = new GitNetwork(git, desk, newFolder);
  const uploads = new Uploads(join(stateFolder, "uploads"), onDefect);
  const guest: Guest = { helper, state };
  const sshd = new Sshd({
    helper,
    state,
    folder: join(stateFolder, "ssh"),
    etc: `${root}/etc/ssh`,
    sshd: "/usr/sbin/sshd",
    // Port 22 is this computer's own then.
    port: sandboxed ? 0 : SSH_PORT,
  });
  const system = systemService({
    guest,
    setChannelKey: (key) => channel.setKey(key),
    bootIdFile: join(stateFolder, "boot_id"),
    warmUp: () => warmUp({ endpoint, table, guest, folder: "/tmp", user: options.defaultUser }),
  });
  const watcherProgram = join(dirname(options.helperProgram), "file-watcher");
  const files = fileService({ paths, users, uploads, table, watcherProgram });
  const services = (add: AddService) => {
    add(SystemService, system);
    add(ProcessService, processService(table));
    add(FileService, files);
    add(PtyService, ptyService(ptys));
    add(GitService, gitService({ git, network, newFolder }));
    add(PortService, portService());
    add(SshdService, sshdService(sshd));
  };
  const settled = async () => state.settled();
  const dials = takeDial(settled, onDefect);
  using endpoint = new Http2Endpoint(services, settled, onDefect, dials);
  const takeOver = async ({ nonce, epoch, channelKey, kept }: Adopted) => {
    await state.apply(helper, kept, channelKey, epoch);
    channel.setKeyWithin(nonce, channelKey);
    setTimeout(() => endpoint.markAdopted(adoptionMark(nonce)), AFTER_FIRST_COMMAND_MS);
  };
  helper.onAdopted((adopted) => void takeOver(adopted).catch(onDefect));
  channel.serve(state.channelKey, (session) => endpoint.accept(session));
  if (signal.aborted) return;
  await Promise.race([once(signal, "abort"), channel.lost, helper.lost]);
}

/** Where the identity of an agent without a machine of its own is written. */
function sandboxRoot(stateFolder: string): string {
  const root = join(stateFolder, "root");
  mkdirSync(join(root, "etc"), { recursive: true });
  return root;
}
