import { adoptionArguments, keptOf } from "@nullspace/proto/adoption";
import { CHANNEL_KEY_BYTES } from "@nullspace/proto/channel";
import { ErrorReason } from "@nullspace/proto";
import type { AdoptRequest } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import type { StateStore } from "../guest/state.js";
import type { GuestHelper } from "../helper/guest-helper.js";

const LEAST_ENTROPY = 32;
const HOSTNAME = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i;

/** What a guest is made of that an adoption changes. */
export interface Guest {
  helper: GuestHelper;
  state: StateStore;
}

/** What an adoption did, in facts. */
export interface Adoption {
  entropyReseeded: boolean;
  identityRenewed: boolean;
}

/**
 * Makes a restored guest the machine that the request names. What cannot be
 * done is an error; what this returns was confirmed, not hoped for.
 *
 * @throws Fault ADOPTION_FAILED that names the step, INVALID_ARGUMENT.
 */
export async function adopt(guest: Guest, request: AdoptRequest): Promise<Adoption> {
  validate(request);
  const { helper, state } = guest;
  try {
    await helper.request("adopt", ...adoptionArguments(request));
    const kept = JSON.stringify(keptOf(request));
    await state.apply(helper, kept, request.channelKey);
    return { entropyReseeded: true, identityRenewed: true };
  } catch (cause) {
    const what = cause instanceof Error ? cause.message : String(cause);
    throw new Fault(
      ErrorReason.ADOPTION_FAILED,
      `the guest could not be made a machine of its own: ${what}`,
      { remedy: "Throw this machine away and create another.", cause },
    );
  }
}

function validate({ time, entropy, channelKey, hostname, machineId, cwd }: AdoptRequest): void {
  if (time === undefined) throw invalid("time", "is missing");
  if (machineId === "") throw invalid("machine_id", "is empty");
  if (!HOSTNAME.test(hostname)) throw invalid("hostname", "is not one label of a host name");
  if (entropy.length < LEAST_ENTROPY)
    throw invalid("entropy", `has less than ${LEAST_ENTROPY} bytes`);
  if (channelKey.length !== CHANNEL_KEY_BYTES) {
    throw invalid("channel_key", `has not ${CHANNEL_KEY_BYTES} bytes`);
  }
  if (cwd !== "" && !cwd.startsWith("/")) throw invalid("cwd", "is not absolute");
}

function invalid(field: string, what: string): Fault {
  return new Fault(ErrorReason.INVALID_ARGUMENT, `${field} ${what}`, { details: { field } });
}
