import type { LifecycleEvent } from "@nullspace/sdk";
import { openClient } from "../client.js";
import type { CommonOptions } from "../options.js";
import { print, printJson, styled } from "../terminal.js";

/** Options of `nullspace events`. */
export interface EventsFlags extends CommonOptions {
  follow?: boolean;
  machine?: string;
  limit: number;
  after?: number;
}

/** `nullspace events` */
export async function showEvents(flags: EventsFlags): Promise<void> {
  await using client = await openClient(flags);
  const { machine: machineId, limit } = flags;
  const show = flags.json ? printJson : (event: LifecycleEvent) => print(lineOf(event));
  let last = flags.after;
  if (last === undefined) {
    const { items } = await client.events.list({ machineId, limit });
    for (const event of items.toReversed()) show(event);
    last = items[0]?.id;
    if (!flags.follow) return;
  }
  for await (const event of client.events.watch({ machineId, afterId: last })) show(event);
}

function lineOf(event: LifecycleEvent): string {
  const { createdAt, machineId, cause, timingsMs, failure } = event;
  const timings = Object.entries(timingsMs).map(([phase, ms]) => `${phase}=${ms}`);
  const parts = [
    styled("dim", createdAt.toISOString()),
    machineId,
    whatOf(event),
    styled("dim", [cause, ...timings].join(" ")),
    failure === undefined ? "" : styled("red", failure.split("\n", 1)[0] ?? ""),
  ];
  return `${parts.filter((part) => part !== "").join("  ")}\n`;
}

function whatOf({ type, fromState, toState, snapshotId, sourceMachineId }: LifecycleEvent): string {
  if (toState === undefined) return snapshotId === undefined ? type : `${type} ${snapshotId}`;
  if (fromState !== undefined) return `${fromState} → ${toState}`;
  return sourceMachineId === undefined ? toState : `${toState} from ${sourceMachineId}`;
}
