import { createHash } from "node:crypto";
import type { AdoptRequest } from "./gen/nullspace/agent/v1/system_pb.js";

/** Serial port on which the guest helper takes adoptions, by name. */
export const HELPER_PORT = "nullspace.helper";

/** What the helper keeps of an adoption for the agent, as JSON. */
export interface KeptAdoption {
  machineId: string;
  hostname: string;
  envs: Record<string, string>;
  cwd: string;
  /** Decimal. */
  generation: string;
  /** Add envs to those there are, and keep the working directory when cwd is empty. */
  keepEnvironment: boolean;
}

/**
 * An adoption as the arguments of the guest helper's verb "adopt", in its order; see
 * `native/guest-helper.c` of the agent.
 */
export function adoptionArguments(request: AdoptRequest): string[] {
  const { time, entropy, machineId, hostname } = request;
  const kept = keptOf(request);
  const { generation } = kept;
  return [
    String(time?.seconds ?? 0n),
    String(time?.nanos ?? 0),
    Buffer.from(entropy).toString("hex"),
    systemId("machine", machineId),
    hostname,
    bootId(machineId, generation),
    generation,
    JSON.stringify(kept),
    Buffer.from(request.channelKey).toString("hex"),
    request.rootDiskBytes > 0n ? String(request.rootDiskBytes) : "",
    request.sshHostKey,
    request.sshHostPublicKey,
  ];
}

/** What the helper keeps of an adoption. */
export function keptOf(request: AdoptRequest): KeptAdoption {
  const { machineId, hostname, envs, cwd, keepEnvironment } = request;
  return {
    machineId,
    hostname,
    envs,
    cwd,
    generation: String(request.generation),
    keepEnvironment,
  };
}

/** One frame to the guest helper: a sequence number, a verb and its arguments. */
export function helperFrame(fields: readonly string[]): Buffer {
  const payload = `${fields.join("\0")}\0`;
  const length = Buffer.byteLength(payload);
  const frame = Buffer.allocUnsafe(4 + length);
  frame.writeUInt32LE(length, 0);
  frame.write(payload, 4);
  return frame;
}

/** A boot id of this machine and generation, as the kernel writes its own. */
function bootId(machineId: string, generation: string): string {
  const id = systemId("boot", `${machineId} ${generation}`);
  return id.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** 128 bits in hexadecimal, as systemd writes them: the same for the same name, and of version 4. */
function systemId(purpose: string, name: string): string {
  const hash = createHash("sha256").update(`nullspace ${purpose} ${name}`).digest();
  const bytes = hash.subarray(0, 16);
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString("hex");
}
