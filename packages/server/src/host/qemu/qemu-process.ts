/** The process of one machine, whoever started it. */
export interface QemuProcess {
  readonly pid: number;
  /** Resolves, never rejects, when the process has ended for whatever reason. */
  readonly exited: Promise<void>;
  /** Ends the process at once and waits until it has. Nothing is flushed. One that has ended is fine. */
  kill(): Promise<void>;
}
