import type { Machine as MachineMessage } from "@nullspace/proto";
import type { Machine } from "@nullspace/sdk";
import { createContext, useContext } from "react";

/** The machine of the page: its record as it is now. */
export const RecordContext = createContext<MachineMessage | undefined>(undefined);

/** The machine of the page, to work in; given by {@link WhileRunning}. */
export const MachineContext = createContext<Machine | undefined>(undefined);

export function useRecord(): MachineMessage {
  return mustHave(useContext(RecordContext));
}

export function useMachine(): Machine {
  return mustHave(useContext(MachineContext));
}

function mustHave<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("this is used outside of a machine's page");
  return value;
}
