import type { Bench } from "./bench.ts";
import type { Summary } from "./statistics.ts";

/** One thing that is measured, by the name that `npm run bench -- <name>` takes. */
export interface Measurement {
  name: string;
  run(bench: Bench): Promise<Findings>;
}

/** What a measurement found. Names are unique over all measurements. */
export interface Findings {
  /** What was compared with what, and how: numbers mean nothing without it. */
  about: string;
  ratios?: Record<string, Ratio>;
  figures?: Record<string, Figure>;
  /** What the ratios and figures were made of. */
  samples: Record<string, Summary & { unit: Unit }>;
}

export type Unit = "ms" | "MB/s" | "MiB" | "KiB" | "1/s" | "1";

/** How many times as much one takes as the other. */
export interface Ratio {
  value: number;
  /** The most it is to be. */
  limit?: number;
  /** The least it is to be. */
  least?: number;
  /** As "Machine.create / bare QEMU". */
  of: string;
}

/** A number with a unit. */
export interface Figure {
  value: number;
  unit: Unit;
  /** The most it is to be. */
  limit?: number;
  what: string;
}
