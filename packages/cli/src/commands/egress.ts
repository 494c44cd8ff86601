import { openClient } from "../client.js";
import { describePolicy, type EgressFlags, policyOf } from "../egress/policy.js";
import type { CommonOptions } from "../options.js";
import { print, printJson } from "../terminal.js";

/** Options of `nullspace machine egress`. */
export interface MachineEgressFlags extends CommonOptions, Omit<EgressFlags, "egress"> {}

/** `nullspace machine egress` */
export async function machineEgress(
  id: string,
  word: EgressFlags["egress"],
  flags: MachineEgressFlags,
): Promise<void> {
  const policy = policyOf({ ...flags, ...(word !== undefined && { egress: word }) });
  await using client = await openClient(flags);
  const { egress } =
    policy === undefined
      ? await client.machines.getInfo(id, { fields: ["egress"] })
      : await client.machines.updateEgress(id, policy);
  if (flags.json) printJson({ egress });
  else print(`${describePolicy(egress)}\n`);
}
