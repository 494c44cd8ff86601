import type { Timestamp } from "@bufbuild/protobuf/wkt";
import { CHANNEL_KEY_BYTES } from "@nullspace/proto/channel";
import { ErrorReason } from "@nullspace/proto";
import type { AdoptRequest } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import type { StateStore } from "../guest/state.js";
import { writeFiles } from "../guest/file-text.js";
import type { GuestHelper } from "../helper/guest-helper.js";
import type { GuestIdentity } from "./guest-identity.js";

const BOOT_ID = "/proc/sys/kernel/random/boot_id";
const LEAST_ENTROPY = 32;
const HOSTNAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i;

/** What a guest is made of that an adoption changes. */
export interface Guest {
  helper: GuestHelper;
  identity: GuestIdentity;
  state: StateStore;
  /** Where the boot id of each generation is written. */
  bootIdFile: string;
  /** The disk that holds the root file system. */
  rootDisk: string;
}

/** What an adoption did, in facts. */
export interface Adoption {
  entropyReseeded: boolean;
  identityRenewed: boolean;
  /** The guest has become another machine, and has no SSH host keys yet. */
  machineChanged: boolean;
}

/**
 * Makes a restored guest the machine that the request names. What cannot be
 * done is an error; what this returns was confirmed, not hoped for.
 *
 * @throws Fault ADOPTION_FAILED that names the step, INVALID_ARGUMENT.
 */
export async function adopt(guest: Guest, request: AdoptRequest): Promise<Adoption> {
  const { state } = guest;
  const time = validate(request);
  const machineChanged = request.machineId !== state.machine.machineId;
  try {
    await askHelper(guest, request, time, machineChanged);
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new Fault(
      ErrorReason.ADOPTION_FAILED,
      `the guest could not be made a machine of its own: ${what}`,
      { remedy: "Throw this machine away and create another.", cause },
    );
  }
  const identityRenewed = guest.identity.matches(request.machineId, request.hostname);
  return { entropyReseeded: true, identityRenewed, machineChanged };
}

/**
 * All of it by the helper, and asked for at once: it does each thing in a few system calls,
 * where Node would first have to run through a lot of code that a restored guest has not run yet.
 * The clock comes first: each moment makes the host's older.
 */
async function askHelper(
  guest: Guest,
  request: AdoptRequest,
  time: Timestamp,
  machineChanged: boolean,
): Promise<void> {
  const { helper, identity, state, bootIdFile, rootDisk } = guest;
  const { machineId, hostname, envs, cwd, generation, channelKey } = request;
  const isFirst = state.machine.machineId === "";
  const bootId = {
    path: bootIdFile,
    text: `${identity.bootId(machineId, generation)}\n`,
    mode: 0o444,
  };
  const former = request.keepEnvironment ? state.machine.envs : {};
  const machine = {
    machineId,
    hostname,
    envs: { ...former, ...envs },
    cwd: cwd || state.machine.cwd,
    generation,
  };
  await Promise.all([
    helper.request("set-time", String(time.seconds), String(time.nanos)),
    helper.request("reseed", Buffer.from(request.entropy).toString("hex")),
    ...(machineChanged ? [identity.renew(helper, machineId, hostname)] : []),
    writeFiles(helper, [bootId]),
    // The kernel keeps one boot id per memory image and lets nobody set it, so a file stands before it.
    ...(isFirst ? [helper.request("bind", bootIdFile, BOOT_ID)] : []),
    state.set(helper, machine, channelKey),
    ...(request.growRoot ? [helper.request("grow", rootDisk, "/")] : []),
  ]);
}

function validate({
  time,
  entropy,
  channelKey,
  hostname,
  machineId,
  cwd,
}: AdoptRequest): Timestamp {
  if (time === undefined) throw invalid("time", "is missing");
  if (machineId === "") throw invalid("machine_id", "is empty");
  if (!HOSTNAME.test(hostname)) throw invalid("hostname", "is not one label of a host name");
  if (entropy.length < LEAST_ENTROPY)
    throw invalid("entropy", `has less than ${LEAST_ENTROPY} bytes`);
  if (channelKey.length !== CHANNEL_KEY_BYTES) {
    throw invalid("channel_key", `has not ${CHANNEL_KEY_BYTES} bytes`);
  }
  if (cwd !== "" && !cwd.startsWith("/")) throw invalid("cwd", "is not absolute");
  return time;
}

function invalid(field: string, what: string): Fault {
  return new Fault(ErrorReason.INVALID_ARGUMENT, `${field} ${what}`, { details: { field } });
}
