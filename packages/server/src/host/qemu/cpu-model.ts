import type { CpuDefinition } from "./qmp/commands.js";

/**
 * The model under software emulation: what it offers depends on QEMU alone, not
 * on the host's processor.
 */
export const EMULATED_CPU_MODEL = "Nehalem";

/** From the richest to the poorest. */
const PREFERRED = [
  "SapphireRapids",
  "Icelake-Server-noTSX",
  "Cascadelake-Server-noTSX",
  "Skylake-Server-noTSX-IBRS",
  "Broadwell-noTSX-IBRS",
  "Haswell-noTSX-IBRS",
  "EPYC-Genoa",
  "EPYC-Milan",
  "EPYC-Rome",
  "EPYC-IBPB",
  "EPYC",
  "Nehalem",
];

/** What QEMU makes of any processor, leaving out what it lacks. */
const LAST_RESORT = "qemu64";

/**
 * The richest named model that this host can be in full: a machine may then move to
 * any host that can be it too. "host" would tie it to processors of one kind.
 */
export function chooseCpuModel(definitions: readonly CpuDefinition[]): string {
  const runnable = new Set(
    definitions
      .filter((definition) => definition.unavailableFeatures.length === 0)
      .map((definition) => definition.name),
  );
  return PREFERRED.find((model) => runnable.has(model)) ?? LAST_RESORT;
}
