import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { findProgram } from "../confinement/program.js";
import { runScript, ScriptError } from "./run.js";

const PROGRAMS: Readonly<Record<string, string>> = {
  ip: "iproute2",
  tc: "iproute2",
  nft: "nftables",
  nsenter: "util-linux",
};

/** Why this host gives machines no network, and what to do about it. */
export interface NetworkProblem {
  readonly what: string;
  readonly remedy: string;
}

/** What is missing for machines to have a network; `undefined` when nothing is. */
export async function findNetworkProblem(): Promise<NetworkProblem | undefined> {
  const uid = process.getuid?.();
  if (uid !== 0) {
    return {
      what: `the server runs as user ${uid}, not as root`,
      remedy: "Run the server as root.",
    };
  }
  for (const [program, debianPackage] of Object.entries(PROGRAMS)) {
    if ((await findProgram(program)) !== undefined) continue;
    const remedy = `Install it: apt-get install ${debianPackage}`;
    return { what: `there is no program ${program}`, remedy };
  }
  try {
    await access("/dev/net/tun", constants.R_OK | constants.W_OK);
  } catch {
    const remedy = "Load the driver (modprobe tun), or give this container the device.";
    return { what: "there is no /dev/net/tun to use", remedy };
  }
  try {
    await runScript(
      "nft list tables >/dev/null; nsenter --net=/proc/self/ns/net true; mkdir -p /run/netns",
    );
    return undefined;
  } catch (error) {
    if (!(error instanceof ScriptError)) throw error;
    const remedy =
      "Give the server CAP_NET_ADMIN and CAP_SYS_ADMIN: a container must be privileged.";
    return { what: `the kernel refuses: ${error.message}`, remedy };
  }
}
