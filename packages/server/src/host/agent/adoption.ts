import { randomBytes } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type AdoptionReceipt, AdoptionReceiptSchema, ErrorReason } from "@nullspace/proto";
import type { AdoptRequestSchema } from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";
import type { Deadline } from "../deadline.js";
import type { SystemClient } from "./system-client.js";

const ENTROPY_BYTES = 32;
/** The guest's clock may differ from the host's by this much. */
const MAX_SKEW_MS = 100;
const ATTEMPTS = 2;

/** Who the guest becomes. Time and entropy are added to it. */
export type Identity = Omit<MessageInitShape<typeof AdoptRequestSchema>, "$typeName"> & {
  generation: bigint;
};

/**
 * Makes a restored guest a machine of its own, and returns what it confirmed.
 *
 * @throws Fault ADOPTION_FAILED when clock, entropy or identity are not confirmed,
 * or what the call throws.
 */
export async function adopt(
  system: SystemClient,
  identity: Identity,
  deadline: Deadline,
): Promise<AdoptionReceipt> {
  const { signal, timeoutMs } = deadline;
  const options = { timeoutMs, ...(signal === undefined ? {} : { signal }) };
  for (let attempt = 1; ; attempt++) {
    const answer = await system.adopt(
      { ...identity, time: timestampFromMs(Date.now()), entropy: randomBytes(ENTROPY_BYTES) },
      options,
    );
    // As if the answer had taken no time: if that is good enough, nobody waits for a ping.
    const atOnce = skewMs(answer.time, Date.now());
    const clockSkewMs =
      Math.abs(atOnce) <= MAX_SKEW_MS ? atOnce : await measureSkewMs(system, options);
    const clockIsRight = Math.abs(clockSkewMs) <= MAX_SKEW_MS;
    const { entropyReseeded, identityRenewed } = answer;
    if (clockIsRight && entropyReseeded && identityRenewed) {
      const { generation } = identity;
      return create(AdoptionReceiptSchema, {
        generation,
        clockSkewMs: BigInt(clockSkewMs),
        entropyReseeded,
        identityRenewed,
      });
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

interface CallOptions {
  timeoutMs: number;
  signal?: AbortSignal;
}

/** The guest's clock minus ours, taking a ping's way there and back to be equally long. */
async function measureSkewMs(system: SystemClient, options: CallOptions): Promise<number> {
  const sent = performance.now();
  const { time } = await system.ping({}, options);
  const received = Date.now();
  return skewMs(time, received - Math.round((performance.now() - sent) / 2));
}

function skewMs(guest: Timestamp | undefined, hostMs: number): number {
  if (guest === undefined) return Number.POSITIVE_INFINITY;
  return Number(guest.seconds) * 1000 + Math.trunc(guest.nanos / 1e6) - hostMs;
}
