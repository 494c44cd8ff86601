import { randomBytes } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type AdoptionReceipt, AdoptionReceiptSchema, ErrorReason } from "@nullspace/proto";
import type { AdoptRequestSchema } from "@nullspace/proto/agent";
import { CHANNEL_KEY_BYTES } from "@nullspace/proto/channel";
import { Fault } from "@nullspace/proto/fault";
import { callOptions, type Deadline } from "../deadline.js";
import type { ClockLead } from "./clock-lead.js";
import type { SystemClient } from "./system-client.js";

const ENTROPY_BYTES = 32;
/** The guest's clock may differ from the host's by this much. */
const MAX_SKEW_MS = 100;
const ATTEMPTS = 5;

/** Who the guest becomes. Time, entropy and channel key are added to it. */
export type Identity = Omit<
  MessageInitShape<typeof AdoptRequestSchema>,
  "$typeName" | "time" | "entropy" | "channelKey"
> & { generation: bigint };

/** What came of an adoption. */
export interface Adoption {
  receipt: AdoptionReceipt;
  /** The key that the guest listens for from now on. */
  channelKey: Uint8Array;
}

/**
 * Makes a restored guest a machine of its own.
 *
 * @throws Fault ADOPTION_FAILED when clock, entropy or identity are not confirmed,
 * or what the call throws.
 */
export async function adopt(
  system: SystemClient,
  identity: Identity,
  lead: ClockLead,
  deadline: Deadline,
): Promise<Adoption> {
  const options = callOptions(deadline);
  let leadMs = lead.ms;
  for (let attempt = 1; ; attempt++) {
    // Another key for each attempt: the one that the guest has got already would end our session
    // wherever it stands in it.
    const channelKey = randomBytes(CHANNEL_KEY_BYTES);
    const answer = await system.adopt(
      {
        ...identity,
        channelKey,
        time: timestampFromMs(Date.now() + leadMs),
        entropy: randomBytes(ENTROPY_BYTES),
      },
      options,
    );
    // As if the answer had taken no time: if that is good enough, nobody waits for a ping.
    const atOnce = skewMs(answer.time, Date.now());
    const isGood = Math.abs(atOnce) <= MAX_SKEW_MS;
    const measured = isGood ? undefined : await measureSkew(system, options);
    const clockSkewMs = measured?.skewMs ?? atOnce;
    if (attempt === 1) lead.learn(clockSkewMs);
    // Only the first call of a guest is slow: from now on its way takes what a ping's does.
    leadMs = measured?.wayMs ?? 0;
    const clockIsRight = Math.abs(clockSkewMs) <= MAX_SKEW_MS;
    const { entropyReseeded, identityRenewed } = answer;
    if (clockIsRight && entropyReseeded && identityRenewed) {
      const { generation } = identity;
      const receipt = create(AdoptionReceiptSchema, {
        generation,
        clockSkewMs: BigInt(clockSkewMs),
        entropyReseeded,
        identityRenewed,
      });
      return { receipt, channelKey };
    }
    if (attempt === ATTEMPTS) {
      throw new Fault(
        ErrorReason.ADOPTION_FAILED,
        `the machine did not confirm that it is its own: clock ${clockSkewMs} ms off, ` +
          `entropy ${String(entropyReseeded)}, identity ${String(identityRenewed)}`,
        { remedy: "Create it again; if that fails as well, the host may be overloaded." },
      );
    }
  }
}

/** The guest's clock minus ours, taking a ping's way there and back to be equally long. */
async function measureSkew(system: SystemClient, options: ReturnType<typeof callOptions>) {
  const sent = performance.now();
  const { time } = await system.ping({}, options);
  const received = Date.now();
  const wayMs = Math.round((performance.now() - sent) / 2);
  return { skewMs: skewMs(time, received - wayMs), wayMs };
}

function skewMs(guest: Timestamp | undefined, hostMs: number): number {
  if (guest === undefined) return Number.POSITIVE_INFINITY;
  return Number(guest.seconds) * 1000 + Math.trunc(guest.nanos / 1e6) - hostMs;
}
