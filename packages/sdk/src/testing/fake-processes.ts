import { type ChildProcess, spawn } from "node:child_process";
import { EventEmitter, once } from "node:events";
import { create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { ErrorReason } from "@nullspace/proto";
import {
  type ConnectRequest,
  OutputStream,
  type ProcessExit,
  ProcessExitSchema,
  type ProcessOutput,
  ProcessOutputSchema,
  ProcessSchema,
  type ProcessService,
  type SendInputRequest,
  type SendSignalRequest,
  type StartRequest,
} from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";

interface Running {
  child: ChildProcess;
  request: StartRequest;
  log: ProcessOutput[];
  bytes: bigint;
  exit: ProcessExit | undefined;
  changed: EventEmitter;
}

/** ProcessService over processes of this computer. */
export class FakeProcesses implements ServiceImpl<typeof ProcessService> {
  readonly #running = new Map<number, Running>();
  /** Pids of processes whose call was cancelled. */
  readonly cancelled: number[] = [];
  /** A lost connection leaves the process alone; this fake cannot tell it from a cancellation. */
  surviveAbort = false;
  /** Where a stream goes on with a gap, as if the log's bound had been passed. */
  dropFirstBytes = 0n;

  start = async function* (this: FakeProcesses, request: StartRequest, context: HandlerContext) {
    const process = await this.#spawn(request);
    const pid = process.child.pid ?? 0;
    yield { event: { event: { case: "started" as const, value: { pid } } } };
    const onAbort = () => {
      this.cancelled.push(pid);
      if (!request.background && !this.surviveAbort) signalGroup(pid, "SIGKILL");
    };
    context.signal.addEventListener("abort", onAbort, { once: true });
    try {
      yield* this.#follow(process, 0n, context.signal);
    } finally {
      context.signal.removeEventListener("abort", onAbort);
    }
  }.bind(this);

  connect = async function* (
    this: FakeProcesses,
    request: ConnectRequest,
    context: HandlerContext,
  ) {
    yield* this.#follow(this.#find(request.pid), request.offset, context.signal);
  }.bind(this);

  list = () => ({
    processes: [...this.#running].map(([pid, { request, exit, bytes }]) =>
      create(ProcessSchema, {
        pid,
        command: request.command,
        args: request.args,
        cwd: request.cwd || "/workspace",
        user: request.user || "user",
        startedAt: timestampNow(),
        outputBytes: bytes,
        ...(exit && { exit }),
      }),
    ),
  });

  sendInput = async (request: SendInputRequest) => {
    const { child, exit } = this.#find(request.pid);
    if (child.stdin === null || child.stdin.writableEnded || exit !== undefined) {
      throw new Fault(ErrorReason.STDIN_CLOSED, "standard input is closed");
    }
    const { stdin } = child;
    await new Promise<void>((resolve) => stdin.write(request.data, () => resolve()));
    return {};
  };

  closeInput = ({ pid }: { pid: number }) => {
    this.#find(pid).child.stdin?.end();
    return {};
  };

  sendSignal = ({ pid, signal }: SendSignalRequest) => {
    this.#find(pid);
    signalGroup(pid, signal);
    return {};
  };

  /** Ends every process that was started here. */
  killAll(): void {
    for (const [pid, { exit }] of this.#running) {
      if (exit === undefined) signalGroup(pid, "SIGKILL");
    }
  }

  /** Whether this process has not ended. */
  isRunning(pid: number): boolean {
    return this.#find(pid).exit === undefined;
  }

  async #spawn(request: StartRequest): Promise<Running> {
    const [command, args] = request.exec
      ? [request.command, request.args]
      : ["/bin/sh", ["-c", request.command]];
    const child = spawn(command, args, {
      cwd: request.cwd || process.cwd(),
      env: { ...process.env, ...request.envs },
      stdio: [request.stdin ? "pipe" : "ignore", "pipe", "pipe"],
      detached: true,
    });
    try {
      await once(child, "spawn");
    } catch (cause) {
      throw new Fault(ErrorReason.PROCESS_START_FAILED, `cannot start ${request.command}`, {
        cause,
      });
    }
    const running: Running = {
      child,
      request,
      log: [],
      bytes: 0n,
      exit: undefined,
      changed: new EventEmitter(),
    };
    running.changed.setMaxListeners(0);
    this.#running.set(child.pid ?? 0, running);
    this.#keepLog(running);
    return running;
  }

  #keepLog(running: Running): void {
    const { child, request, changed } = running;
    const append = (stream: OutputStream, data: Buffer) => {
      running.log.push(create(ProcessOutputSchema, { stream, data, offset: running.bytes }));
      running.bytes += BigInt(data.length);
      changed.emit("changed");
    };
    child.stdin?.on("error", () => undefined);
    child.stdout?.on("data", (data: Buffer) => append(OutputStream.STDOUT, data));
    child.stderr?.on("data", (data: Buffer) => append(OutputStream.STDERR, data));
    const timer = request.timeoutMs
      ? setTimeout(() => {
          signalGroup(child.pid ?? 0, "SIGKILL");
          timedOut = true;
        }, request.timeoutMs)
      : undefined;
    let timedOut = false;
    child.on("close", (code, signal) => {
      clearTimeout(timer);
      const exitCode = code ?? 128 + 9;
      running.exit = create(ProcessExitSchema, { exitCode, signal: signal ?? "", timedOut });
      changed.emit("changed");
    });
  }

  async *#follow(running: Running, offset: bigint, signal: AbortSignal) {
    let next = 0;
    let skip = offset;
    if (this.dropFirstBytes > offset) {
      yield event("dropped", { offset, bytes: this.dropFirstBytes - offset });
      skip = this.dropFirstBytes;
    }
    while (!signal.aborted) {
      for (let entry = running.log[next]; entry !== undefined; entry = running.log[next]) {
        next++;
        const cut = Number(skip - entry.offset);
        if (cut >= entry.data.length) continue;
        const data = cut > 0 ? entry.data.subarray(cut) : entry.data;
        const at = cut > 0 ? skip : entry.offset;
        yield event("output", { stream: entry.stream, offset: at, data });
      }
      if (running.exit !== undefined) {
        yield event("exit", running.exit);
        return;
      }
      await once(running.changed, "changed", { signal }).catch(() => undefined);
    }
  }

  #find(pid: number): Running {
    const running = this.#running.get(pid);
    if (running !== undefined) return running;
    throw new Fault(ErrorReason.PROCESS_NOT_FOUND, `there is no process ${pid}`);
  }
}

function event<C extends string, V>(name: C, value: V) {
  return { event: { event: { case: name, value } } };
}

function signalGroup(pid: number, signal: string): void {
  try {
    process.kill(-pid, signal);
  } catch (error) {
    // The group may have ended in the meantime.
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}
