import { constants } from "node:os";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";

const NAMES = new Map<number, string>();
// Some numbers have two names; the first is the usual one.
for (const [name, number] of Object.entries(constants.signals)) {
  if (!NAMES.has(number)) NAMES.set(number, name);
}

/** Name of a signal, as "SIGKILL". */
export function signalName(number: number): string {
  // Real-time signals have no names of their own.
  return NAMES.get(number) ?? `SIGRTMIN+${number - 34}`;
}

/**
 * Number of a signal named as "SIGTERM".
 *
 * @throws Fault INVALID_ARGUMENT when there is none of this name.
 */
export function signalNumber(name: string): number {
  const number: number | undefined = new Map(Object.entries(constants.signals)).get(name);
  if (number === undefined) {
    throw new Fault(ErrorReason.INVALID_ARGUMENT, `${JSON.stringify(name)} is no signal`, {
      remedy: "Name a signal as SIGTERM, SIGKILL or SIGINT.",
      details: { field: "signal" },
    });
  }
  return number;
}
