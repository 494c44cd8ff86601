import { readFileSync } from "node:fs";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { GetUsageResponseSchema } from "@nullspace/proto/agent";

/** Memory of the agent and of the guest. */
export function usage(): MessageInitShape<typeof GetUsageResponseSchema> {
  const meminfo = readFileSync("/proc/meminfo", "utf8");
  const bytes = (name: string) => {
    const kib = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(meminfo)?.[1];
    if (kib === undefined) throw new Error(`/proc/meminfo has no ${name}`);
    return BigInt(kib) * 1024n;
  };
  return {
    agentRssBytes: BigInt(process.memoryUsage.rss()),
    agentPeakRssBytes: BigInt(process.resourceUsage().maxRSS) * 1024n,
    memoryTotalBytes: bytes("MemTotal"),
    memoryAvailableBytes: bytes("MemAvailable"),
  };
}
