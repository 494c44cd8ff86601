/** What a look at a machine's service found. */
export interface ProbeOutcome {
  /** Status of its answer; 0 when no path was asked for. */
  readonly status: number;
}

/** What to look at. */
export interface ProbeTarget {
  readonly machineId: string;
  readonly port: number;
  /** Of a request; a connection is enough when empty. */
  readonly path: string;
  /** Of that request. */
  readonly host: string;
  /** How long to wait until something listens, and answers, in milliseconds. */
  readonly waitMs: number;
}

/** A process that listens in a machine. */
export interface ListeningProcess {
  readonly port: number;
  /** Empty when it cannot be told. */
  readonly process: string;
}

/** Looks at services in machines, as previews would reach them. */
export interface PreviewProbe {
  /**
   * @throws Fault PORT_CLOSED, PORT_CONNECTION_LOST, PREVIEW_BAD_ANSWER, PREVIEW_SERVICE_NOT_READY when it
   * does not answer, AGENT_UNREACHABLE, or the reason of the signal.
   */
  look(target: ProbeTarget, signal: AbortSignal): Promise<ProbeOutcome>;
  /** What listens in a machine. @throws Fault AGENT_UNREACHABLE, or the reason of the signal. */
  listening(machineId: string, signal: AbortSignal): Promise<readonly ListeningProcess[]>;
}
