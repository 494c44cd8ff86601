import type { Socket } from "node:net";
import { join } from "node:path";
import { readTail } from "../bounded-log.js";
import { anySignal, type Deadline } from "../deadline.js";
import { QEMU_LOG } from "./launch.js";
import type { QemuProcess } from "./qemu-process.js";
import { QmpClient, QmpClosedError } from "./qmp/qmp-client.js";

const LOG_TAIL_BYTES = 2048;

/** QEMU ended while something was expected of it. */
export class QemuEndedError extends Error {
  override readonly name = "QemuEndedError";

  /** @param log - the last messages of QEMU. */
  constructor(log: string) {
    super(log === "" ? "QEMU ended" : `QEMU ended: ${log}`);
  }
}

/** A QEMU that runs and takes commands. */
export class RunningQemu {
  readonly process: QemuProcess;
  readonly qmp: QmpClient;
  /** Aborted with a {@link QemuEndedError} when the process ends. */
  readonly ended: AbortSignal;

  private constructor(process: QemuProcess, qmp: QmpClient, ended: AbortSignal) {
    this.process = process;
    this.qmp = qmp;
    this.ended = ended;
  }

  /**
   * Waits until a QEMU that was just started takes commands.
   *
   * @param directory - its working directory, with its log.
   * @throws QemuEndedError, DeadlineError, or the reason of the signal.
   */
  static async open(
    process: QemuProcess,
    monitor: Socket,
    directory: string,
    deadline: Deadline,
  ): Promise<RunningQemu> {
    const { signal: ended, error: endError } = endOf(process, directory);
    const signal = anySignal(ended, deadline.signal);
    try {
      const qmp = await QmpClient.open(monitor, { timeoutMs: deadline.timeoutMs, signal });
      return new RunningQemu(process, qmp, ended);
    } catch (error) {
      if (!(error instanceof QmpClosedError)) throw error;
      // The monitor closes a moment before its process ends, and says nothing of why.
      await process.kill();
      throw await endError;
    }
  }

  /** Of a QEMU that a former server has started. */
  static inherit(process: QemuProcess, qmp: QmpClient, directory: string): RunningQemu {
    return new RunningQemu(process, qmp, endOf(process, directory).signal);
  }
}

interface End {
  /** Resolves when the process has ended. */
  error: Promise<QemuEndedError>;
  /** Aborted with the same error. */
  signal: AbortSignal;
}

function endOf(process: QemuProcess, directory: string): End {
  const controller = new AbortController();
  const watch = async () => {
    await process.exited;
    const log = await readTail(join(directory, QEMU_LOG), LOG_TAIL_BYTES);
    const error = new QemuEndedError(log.trim());
    controller.abort(error);
    return error;
  };
  return { error: watch(), signal: controller.signal };
}
