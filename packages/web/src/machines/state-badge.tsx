import { MachineState } from "@nullspace/proto";

type Tone = "good" | "busy" | "still" | "bad";

const STATES: Record<MachineState, { label: string; tone: Tone }> = {
  [MachineState.UNSPECIFIED]: { label: "unknown", tone: "still" },
  [MachineState.CREATING]: { label: "creating", tone: "busy" },
  [MachineState.RUNNING]: { label: "running", tone: "good" },
  [MachineState.PAUSING]: { label: "pausing", tone: "busy" },
  [MachineState.PAUSED]: { label: "paused", tone: "still" },
  [MachineState.RESUMING]: { label: "resuming", tone: "busy" },
  [MachineState.KILLING]: { label: "killing", tone: "busy" },
  [MachineState.KILLED]: { label: "killed", tone: "still" },
  [MachineState.FAILED]: { label: "failed", tone: "bad" },
};

/** A machine's state in a word and a colour. */
export function StateBadge({ state }: { state: MachineState }) {
  const { label, tone } = STATES[state];
  return (
    <span className={`badge badge-${tone}`}>
      <span className="dot" aria-hidden="true" />
      {label}
    </span>
  );
}
