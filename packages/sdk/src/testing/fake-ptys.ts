import { EventEmitter, once } from "node:events";
import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { ErrorReason } from "@nullspace/proto";
import {
  type ProcessExit,
  ProcessExitSchema,
  type PtyService,
  type PtyServiceConnectRequest,
  type PtyServiceCreateRequest,
  type PtyServiceSendInputRequest,
  PtySessionSchema,
  type PtySize,
  PtySizeSchema,
} from "@nullspace/proto/agent";
import { Fault } from "@nullspace/proto/fault";

interface Session {
  request: PtyServiceCreateRequest;
  size: PtySize;
  output: Buffer;
  exit: ProcessExit | undefined;
  changed: EventEmitter;
  /** Number that is due, by writer. */
  due: Map<string, bigint>;
}

/** PtyService over terminals without programs: what is typed is what they show. */
export class FakePtys implements ServiceImpl<typeof PtyService> {
  readonly #sessions = new Map<string, Session>();
  readonly #keys = new Map<string, string>();
  /** What {@link connect} was asked for. */
  readonly connects: PtyServiceConnectRequest[] = [];
  /** Input calls that arrived, those that came twice among them. */
  inputs = 0;

  create = (request: PtyServiceCreateRequest) => {
    const known = this.#keys.get(request.idempotencyKey);
    const id = known ?? `pty_${this.#sessions.size + 1}`;
    if (known === undefined) {
      const changed = new EventEmitter();
      changed.setMaxListeners(0);
      const size = request.size ?? create(PtySizeSchema, { cols: 80, rows: 24 });
      const output = Buffer.alloc(0);
      this.#sessions.set(id, { request, size, output, exit: undefined, changed, due: new Map() });
      this.#keys.set(request.idempotencyKey, id);
    }
    return { session: this.#describe(id) };
  };

  connect = async function* (
    this: FakePtys,
    request: PtyServiceConnectRequest,
    { signal }: HandlerContext,
  ) {
    this.connects.push(request);
    const session = this.find(request.sessionId);
    let at = Number(request.offset ?? session.output.length);
    if (request.offset === undefined) {
      const offset = BigInt(at);
      const data = Buffer.from(`<screen ${session.output.toString()}>`);
      yield { event: { case: "screen" as const, value: { size: session.size, data, offset } } };
    }
    let { size } = session;
    while (!signal.aborted) {
      if (session.size !== size) {
        size = session.size;
        yield { event: { case: "resized" as const, value: size } };
      }
      if (session.output.length > at) {
        const data = session.output.subarray(at);
        const value = { offset: BigInt(at), data };
        at = session.output.length;
        yield { event: { case: "output" as const, value } };
        continue;
      }
      if (session.exit !== undefined) {
        yield { event: { case: "exit" as const, value: session.exit } };
        return;
      }
      await once(session.changed, "changed", { signal }).catch(() => undefined);
    }
  }.bind(this);

  list = () => ({ sessions: [...this.#sessions.keys()].map((id) => this.#describe(id)) });

  sendInput = async (
    { sessionId, writerId, sequence, data }: PtyServiceSendInputRequest,
    { signal }: HandlerContext,
  ) => {
    this.inputs++;
    const session = this.find(sessionId);
    const due = () => session.due.get(writerId) ?? 1n;
    while (sequence > due()) await once(session.changed, "changed", { signal });
    if (session.exit !== undefined) throw new Fault(ErrorReason.PTY_ENDED, "it has ended");
    if (sequence === due()) {
      session.due.set(writerId, sequence + 1n);
      this.write(sessionId, data);
    }
    return {};
  };

  resize = ({ sessionId, size }: { sessionId: string; size?: PtySize | undefined }) => {
    const session = this.find(sessionId);
    session.size = size ?? session.size;
    session.changed.emit("changed");
    return {};
  };

  wait = async ({ sessionId }: { sessionId: string }, { signal }: HandlerContext) => {
    const session = this.find(sessionId);
    while (session.exit === undefined) await once(session.changed, "changed", { signal });
    return { exit: session.exit };
  };

  sendSignal = ({ sessionId, signal }: { sessionId: string; signal: string }) => {
    if (this.find(sessionId).exit !== undefined) {
      throw new Fault(ErrorReason.PTY_ENDED, "it has ended");
    }
    this.end(sessionId, 137, signal);
    return {};
  };

  /** Lets the program of a session write. */
  write(id: string, data: string | Uint8Array): void {
    const session = this.find(id);
    session.output = Buffer.concat([session.output, Buffer.from(data)]);
    session.changed.emit("changed");
  }

  /** Lets the program of a session end. */
  end(id: string, exitCode: number, signal = ""): void {
    const session = this.find(id);
    session.exit = create(ProcessExitSchema, { exitCode, signal });
    session.changed.emit("changed");
  }

  find(id: string): Session {
    const session = this.#sessions.get(id);
    if (session !== undefined) return session;
    throw new Fault(ErrorReason.PTY_NOT_FOUND, `there is no session ${id}`);
  }

  #describe(id: string) {
    const { request, size, exit, output } = this.find(id);
    const { command, args, cwd, user } = request;
    return create(PtySessionSchema, {
      sessionId: id,
      pid: 42,
      command,
      args,
      cwd,
      user,
      size,
      outputBytes: BigInt(output.length),
      ...(exit && { exit }),
    });
  }
}
