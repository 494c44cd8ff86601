import { randomBytes } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type AdoptionReceipt, AdoptionReceiptSchema, ErrorReason } from "@nullspace/proto";
import { adoptionArguments } from "@nullspace/proto/adoption";
import { AdoptRequestSchema } from "@nullspace/proto/agent";
import { CHANNEL_KEY_BYTES } from "@nullspace/proto/channel";
import { Fault } from "@nullspace/proto/fault";
import type { Deadline } from "../deadline.js";
import type { ClockLead } from "./clock-lead.js";
import { type HelperPort, HelperRefusalError } from "./helper-port.js";
import { makeSshHostKey } from "./ssh-host-key.js";

const ENTROPY_BYTES = 32;
/** The guest's clock may differ from the host's by this much. */
const MAX_SKEW_MS = 100;
/** How often the clock is set, on a host so busy that it is wrong again before the answer is here. */
const CLOCK_ATTEMPTS = 20;

/** Who the guest becomes. Time, entropy and keys are added to it. */
export type Identity = Omit<
  MessageInitShape<typeof AdoptRequestSchema>,
  "$typeName" | "time" | "entropy" | "channelKey" | "sshHostKey" | "sshHostPublicKey"
> & { generation: bigint };

/** What came of an adoption. */
export interface Adoption {
  receipt: AdoptionReceipt;
  /** The key that the guest listens for after the present session. */
  channelKey: Uint8Array;
}

/** What an adoption goes through. */
export interface Adopter {
  helper: HelperPort;
  /** Of the session with the agent that is open, or being opened: the new key counts from it on. */
  nonce: Uint8Array;
  lead: ClockLead;
}

/**
 * Makes a restored guest a machine of its own. The guest's helper answers when all of it is
 * done, each step checked by who took it; the agent serves nobody before it knows.
 *
 * @throws Fault ADOPTION_FAILED, DeadlineError, or the reason of the signal.
 */
export async function adopt(
  { helper, nonce, lead }: Adopter,
  identity: Identity,
  deadline: Deadline,
): Promise<Adoption> {
  const channelKey = randomBytes(CHANNEL_KEY_BYTES);
  const { privateKey: sshHostKey, publicKey: sshHostPublicKey } = makeSshHostKey();
  const request = create(AdoptRequestSchema, {
    ...identity,
    channelKey,
    sshHostKey,
    sshHostPublicKey,
    time: timestampFromMs(Date.now() + lead.ms),
    entropy: randomBytes(ENTROPY_BYTES),
  });
  try {
    const session = Buffer.from(nonce).toString("hex");
    const args = [session, ...adoptionArguments(request)];
    let clockSkewMs = Math.round((await helper.request("adopt", args, deadline)) - Date.now());
    lead.learn(clockSkewMs);
    for (let attempt = 1; !isRight(clockSkewMs); attempt++) {
      if (attempt > CLOCK_ATTEMPTS) throw notConfirmed(`its clock is ${clockSkewMs} ms off`);
      clockSkewMs = await setClock(helper, deadline);
    }
    const receipt = create(AdoptionReceiptSchema, {
      generation: identity.generation,
      clockSkewMs: BigInt(clockSkewMs),
      entropyReseeded: true,
      identityRenewed: true,
    });
    return { receipt, channelKey };
  } catch (error) {
    if (error instanceof HelperRefusalError) throw notConfirmed(error.message, error);
    throw error;
  }
}

/**
 * Gives a restored guest that is nobody's yet the right clock and fresh random bytes, and lets
 * its programs go on.
 *
 * @throws HelperRefusalError, DeadlineError, or the reason of the signal.
 */
export async function renew(
  { helper, lead }: Pick<Adopter, "helper" | "lead">,
  deadline: Deadline,
): Promise<void> {
  const entropy = randomBytes(ENTROPY_BYTES).toString("hex");
  await helper.request("renew", [...clockArguments(Date.now() + lead.ms), entropy], deadline);
}

/** Sets the clock alone. Gives the guest's clock minus ours, as if the answer had taken no time. */
async function setClock(helper: HelperPort, deadline: Deadline): Promise<number> {
  const args = clockArguments(Date.now());
  return Math.round((await helper.request("set-time", args, deadline)) - Date.now());
}

/** Seconds and nanoseconds. */
function clockArguments(ms: number): [string, string] {
  return [String(Math.floor(ms / 1000)), String((ms % 1000) * 1e6)];
}

/** What is not a number is not right either. */
function isRight(clockSkewMs: number): boolean {
  return Math.abs(clockSkewMs) <= MAX_SKEW_MS;
}

function notConfirmed(why: string, cause?: unknown): Fault {
  return new Fault(
    ErrorReason.ADOPTION_FAILED,
    `the machine did not confirm that it is its own: ${why}`,
    {
      remedy: "Create it again; if that fails as well, the host may be overloaded.",
      cause,
    },
  );
}
