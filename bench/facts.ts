import { cpus, totalmem } from "node:os";
import type { Bench } from "./bench.ts";

/** What the numbers were measured on. Nothing of it names the machine. */
export interface Facts {
  date: string;
  cpuModel: string;
  cpus: number;
  memoryMb: number;
  accelerator: string;
  qemuVersion: string;
  nodeVersion: string;
}

export function gatherFacts({ snapshot }: Bench): Facts {
  const processors = cpus();
  return {
    date: new Date().toISOString(),
    cpuModel: processors[0]?.model.trim() ?? "unknown",
    cpus: processors.length,
    memoryMb: Math.round(totalmem() / (1 << 20)),
    accelerator: snapshot.accelerator,
    qemuVersion: snapshot.qemu.version,
    nodeVersion: process.versions.node,
  };
}
