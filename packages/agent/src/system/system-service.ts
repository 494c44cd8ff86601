import { readFileSync } from "node:fs";
import type { ServiceImpl } from "@connectrpc/connect";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import type { SystemService } from "@nullspace/proto/agent";
import { AGENT_VERSION } from "../version.js";
import { adopt, type Guest } from "./adopt.js";
import { usage } from "./usage.js";

const BOOT_ID = "/proc/sys/kernel/random/boot_id";

export interface SystemServiceOptions {
  guest: Guest;
  /** Takes the key that begins the channel's next session. */
  setChannelKey: (key: Uint8Array) => void;
  /** Where the boot id of each generation is written. */
  bootIdFile: string;
  /** Runs the agent's own code until it is compiled. */
  warmUp: () => Promise<void>;
}

/** Serves the machine as a whole, to the host. */
export function systemService(options: SystemServiceOptions): ServiceImpl<typeof SystemService> {
  const { guest, setChannelKey, bootIdFile, warmUp } = options;
  let isBound = false;
  const kernel = readFileSync("/proc/sys/kernel/osrelease", "utf8").trim();
  return {
    ping() {
      return { agentVersion: AGENT_VERSION, kernel, time: timestampNow() };
    },

    async adopt(request) {
      const facts = await adopt(guest, request);
      setChannelKey(request.channelKey);
      return { ...facts, time: timestampNow() };
    },

    async prepareCapture() {
      await warmUp();
      // The kernel keeps one boot id per memory image and lets nobody set it, so a file stands before it.
      if (!isBound) await guest.helper.request("bind", bootIdFile, BOOT_ID);
      isBound = true;
      // What is garbage already need not be collected, and so written, in every machine made of this.
      globalThis.gc?.();
      await guest.helper.request("sync");
      return {};
    },

    getUsage() {
      return usage();
    },
  };
}
