import { setTimeout } from "node:timers/promises";
import { ErrorReason } from "@nullspace/proto";
import { Fault } from "@nullspace/proto/fault";
import type { Machine } from "./machine.js";
import type { Machines } from "./machines.js";
import type { RunningMachines } from "./running-machines.js";

/** How long a request waits for its machine to wake, in milliseconds. */
const WAKE_MS = 30_000;

/**
 * The machine that runs behind a preview's host. Traffic wakes a paused one that allows it.
 *
 * @param stopping Gives a wake up; that nobody waits for it any longer does not.
 * @throws Fault MACHINE_NOT_FOUND, MACHINE_NOT_RUNNING, MACHINE_DIED, MACHINE_PAUSED, MACHINE_WAKING,
 * SNAPSHOT_CONSUMED, and what a resume throws.
 */
export async function routeToMachine(
  { machines, running }: { readonly machines: Machines; readonly running: RunningMachines },
  id: string,
  signal: AbortSignal,
  stopping: AbortSignal,
): Promise<Machine> {
  const known = running.find(id);
  if (known !== undefined) return known;
  let machine = await machines.get(id);
  while (machine.state === "paused" && machine.resumedAs !== "") {
    machine = running.find(machine.resumedAs) ?? (await machines.get(machine.resumedAs));
  }
  const isAsleep = machine.state === "paused" || machine.state === "pausing";
  if (isAsleep && !machine.autoResume) throw machinePaused(machine);
  if (!isAsleep && machine.state !== "resuming") return machines.getRunning(machine.id);
  return wake(machines, machine.id, signal, stopping);
}

async function wake(
  machines: Machines,
  id: string,
  signal: AbortSignal,
  stopping: AbortSignal,
): Promise<Machine> {
  const over = new AbortController();
  const givenUp = AbortSignal.any([signal, over.signal]);
  const late = setTimeout(WAKE_MS, undefined, { signal: givenUp });
  // Who comes later, or again, finds it running: a visitor who goes does not take the resume along.
  const waking = machines.connect(id, undefined, stopping);
  try {
    const connected = await Promise.race([waking, late]);
    if (connected !== undefined) return connected.machine;
    throw new Fault(ErrorReason.MACHINE_WAKING, `machine ${id} is being woken`, {
      remedy: "Make the request again in a moment.",
      details: { machine_id: id },
    });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    over.abort();
    await Promise.allSettled([late]);
    // Its failure is told to who waits for it.
    waking.catch(() => undefined);
  }
}

function machinePaused({ id }: Machine): Fault {
  return new Fault(ErrorReason.MACHINE_PAUSED, `machine ${id} is paused`, {
    remedy: "Resume it: Machine.connect(id). To have traffic wake it, create it with autoResume.",
    details: { machine_id: id },
  });
}
