import { asObject, booleanOf, stringOf } from "./json.js";

/** The events that the host listens to. Names and members are QEMU's own. */
export interface QmpEvents {
  /** The guest runs, after `cont` or an incoming state that was loaded. */
  RESUME: Record<string, never>;
  STOP: Record<string, never>;
  /** QEMU is about to end. `guest`: the guest asked for it. */
  SHUTDOWN: { guest: boolean; reason: string };
  /** The guest opened or closed its end of a serial port. At most one a second for each port. */
  VSERPORT_CHANGE: { id: string; open: boolean };
}

/**
 * Reads what an event tells.
 *
 * @throws ShapeError when it is not what QEMU documents.
 */
export const eventDecoders: {
  [Name in keyof QmpEvents]: (value: unknown) => QmpEvents[Name];
} = {
  RESUME: () => ({}),
  STOP: () => ({}),
  SHUTDOWN: (value) => {
    const data = asObject(value);
    return { guest: booleanOf(data, "guest"), reason: stringOf(data, "reason") };
  },
  VSERPORT_CHANGE: (value) => {
    const data = asObject(value);
    return { id: stringOf(data, "id"), open: booleanOf(data, "open") };
  },
};
