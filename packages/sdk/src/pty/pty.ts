import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { PtySession as SessionMessage } from "@nullspace/proto/agent";
import type { CallOptions } from "../call.js";
import type { Signal } from "../commands/options.js";
import type { AgentConnection } from "../connection.js";
import { InternalError, InvalidArgumentError, NotFoundError } from "../errors.js";
import { randomKey } from "../idempotency.js";
import { exitOf } from "./follow.js";
import type { ConnectPtyOptions, CreatePtyOptions, PtyInfo, PtySize } from "./options.js";
import { PtySession } from "./session.js";

/** The terminal sessions of one machine. */
export class Pty {
  readonly #agent: AgentConnection;

  /** @internal */
  constructor(agent: AgentConnection) {
    this.#agent = agent;
  }

  /**
   * Starts a program in a terminal, 80 by 24 unless you say otherwise.
   *
   * @throws InvalidArgumentError `PROCESS_START_FAILED`: no such program, user or folder
   * @throws ResourceExhaustedError `TOO_MANY_PTYS`
   * @example
   * ```ts
   * const shell = await machine.pty.create();
   * const vim = await machine.pty.create({ command: "vim", args: ["notes.md"], cols: 100, rows: 30 });
   * ```
   */
  async create(options: CreatePtyOptions = {}): Promise<PtySession> {
    const { command = "", args, cwd = "", envs = {}, user = "" } = options;
    if (args !== undefined && command === "") {
      throw new InvalidArgumentError("there are args and no command", {
        remedy: "Name the program in command.",
      });
    }
    const size = sizeOf(options) ?? { cols: 80, rows: 24 };
    const idempotencyKey = options.idempotencyKey ?? randomKey();
    const exec = args !== undefined;
    const request = {
      command,
      args: [...(args ?? [])],
      exec,
      size,
      cwd,
      envs,
      user,
      idempotencyKey,
    };
    const { session } = await this.#agent.unary(
      options,
      (attempt) => this.#agent.ptys.create(request, attempt),
      { idempotent: true },
    );
    if (session === undefined) throw new InternalError("the machine made no session");
    const { sessionId: id, pid } = session;
    const { answersQueries = false } = options;
    return new PtySession(this.#agent, { id, pid, answersQueries, isNew: true });
  }

  /**
   * Gives a handle of a session. Loops over it begin with the screen as it is
   * now. With `cols` and `rows` the terminal takes on this size.
   *
   * @throws NotFoundError `PTY_NOT_FOUND`
   */
  async connect(sessionId: string, options: ConnectPtyOptions = {}): Promise<PtySession> {
    const found = (await this.list(options)).find(({ id }) => id === sessionId);
    if (found === undefined) {
      throw new NotFoundError(`machine ${this.#agent.machineId} has no session ${sessionId}`, {
        reason: "PTY_NOT_FOUND",
        remedy: "pty.list() tells the sessions it has.",
      });
    }
    const { answersQueries = false } = options;
    const { pid } = found;
    const session = new PtySession(this.#agent, {
      id: sessionId,
      pid,
      answersQueries,
      isNew: false,
    });
    const size = sizeOf(options, found);
    if (size !== undefined && found.running) await session.resize(size, options);
    return session;
  }

  /** Lists the sessions: running ones and those that ended lately, newest first. */
  async list(options: CallOptions = {}): Promise<PtyInfo[]> {
    const { sessions } = await this.#agent.unary(
      options,
      (attempt) => this.#agent.ptys.list({}, attempt),
      { idempotent: true },
    );
    return sessions.map(fromMessage);
  }

  /**
   * Signals everything in a session's terminal; `SIGKILL` when not given.
   *
   * @throws NotFoundError `PTY_NOT_FOUND`
   * @throws ConflictError `PTY_ENDED`
   */
  async kill(
    sessionId: string,
    signal: Signal = "SIGKILL",
    options: CallOptions = {},
  ): Promise<void> {
    const request = { sessionId, signal };
    await this.#agent.unary(options, (attempt) => this.#agent.ptys.sendSignal(request, attempt));
  }
}

/** The size that is asked for; what is left out of it is as it was, or as usual. */
function sizeOf(
  { cols, rows }: Partial<PtySize>,
  former: PtySize = { cols: 80, rows: 24 },
): PtySize | undefined {
  if (cols === undefined && rows === undefined) return undefined;
  return { cols: cols ?? former.cols, rows: rows ?? former.rows };
}

function fromMessage(session: SessionMessage): PtyInfo {
  const { sessionId, pid, command, args, cwd, user, startedAt, size, exit, viewers } = session;
  return {
    id: sessionId,
    pid,
    command,
    args: [...args],
    cwd,
    user,
    startedAt: startedAt && timestampDate(startedAt),
    cols: size?.cols ?? 0,
    rows: size?.rows ?? 0,
    running: exit === undefined,
    exit: exit && exitOf(exit),
    viewers,
    outputBytes: Number(session.outputBytes),
  };
}
