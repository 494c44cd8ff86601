import type { ProjectLimits } from "../domain/project.js";
import { jsonEntries } from "./machine-row.js";

/** The limits that a column holds as JSON. */
export function toLimits(json: string): ProjectLimits {
  if (json === "{}") return {};
  return Object.fromEntries(jsonEntries(json).map(([name, value]) => [name, Number(value)]));
}
